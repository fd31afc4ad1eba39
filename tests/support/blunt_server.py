"""A WebSocket server that sends any bytes: what it does on a connection stands in the URL's query.

`answer`: the head to send, with `{accept}` for the right key, in place of a good one; empty for none at all.
`frames`: bytes in hexadecimal that go out behind the head, `glued` to it in one piece.
`end`: what follows. `tell` names every frame that comes and answers a closing one, `eof` and `reset` end the
connection, `silent` reads and says nothing, `deaf` does not even read.

Prints its port, and runs until its standard input ends.
"""

from __future__ import annotations

import socket
import struct
import sys
import threading
from base64 import b64encode
from hashlib import sha1
from urllib.parse import parse_qs, urlsplit

GOOD = (
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: WebSocket\r\nConnection: keep-alive, Upgrade\r\n"
    "Sec-WebSocket-Accept: {accept}\r\n\r\n"
)


def frame(opcode: int, payload: bytes, *, fin: bool = True) -> bytes:
    """One unmasked frame of up to 125 bytes."""
    return bytes([fin << 7 | opcode, len(payload)]) + payload


def frames(reader):
    """What the client sends: opcode and payload."""
    while start := reader.read(2):
        assert start[1] & 0x80, "a client masks its frames"
        length = start[1] & 0x7F
        if length >= 126:
            size = 2 if length == 126 else 8
            length = int.from_bytes(reader.read(size), "big")
        mask = reader.read(4)
        payload = reader.read(length)
        yield start[0] & 0xF, bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))


def serve(connection: socket.socket) -> None:
    reader = connection.makefile("rb")
    target = reader.readline().split()[1].decode()
    fields = dict(line.decode("latin-1").rstrip().split(": ", 1) for line in iter(reader.readline, b"\r\n"))
    asked = {
        name: values[-1] for name, values in parse_qs(urlsplit(target).query, keep_blank_values=True).items()
    }
    digest = sha1((fields["Sec-WebSocket-Key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()
    head = asked.get("answer", GOOD).replace("{accept}", b64encode(digest).decode()).encode("latin-1")
    following = bytes.fromhex(asked.get("frames", ""))
    if "glued" in asked:
        connection.sendall(head + following)
    else:
        connection.sendall(head)
        connection.sendall(following)
    end = asked.get("end", "tell")
    if end == "reset":
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    elif end == "silent":
        while connection.recv(65_536):
            pass
    elif end == "deaf":
        threading.Event().wait()
    elif end == "tell":
        for opcode, payload in frames(reader):
            if opcode == 8:
                connection.sendall(frame(8, payload))
                break
            connection.sendall(frame(1, f"{opcode} {payload.decode()}".encode()))
    reader.close()
    connection.close()


def main() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listening:
        print(listening.getsockname()[1], flush=True)

        def accept() -> None:
            while True:
                connection, _ = listening.accept()
                threading.Thread(target=serve, args=(connection,), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        sys.stdin.read()


if __name__ == "__main__":
    main()
