"""Run as a program: a server that does on each connection what a script says, byte for byte, be it right or wrong.

Reads a JSON command a line from standard input, writes a JSON line for each, and ends with its input:

{"play": [[step, ...], ...]}      listen on a new port; the n-th connection plays the n-th list, later ones the last
{"seen": PORT}                    how many connections came, and every request whose head came in whole
{"ended": PORT, "count": N}       the same, once N connections have played to their end
{"go": PORT}                      let the connection go on that is at its `await`, and wait until its next step is done
{"close": PORT}                   stop listening; connections that are open stay

A step is a list of its name and arguments; `odd.py` says what each does. Bytes are text in Latin-1.
"""

from __future__ import annotations

import contextlib
import json
import select
import socket
import ssl
import struct
import sys
import threading
import time

WALL_S = 20
RESETTING = struct.pack("ii", 1, 0)
"""SO_LINGER: close by a reset at once."""


class PeerLeftError(Exception):
    pass


class Connection:
    """One accepted connection and the requests that were read from it."""

    def __init__(self, plain: socket.socket, number: int, played: Played) -> None:
        self.socket = plain
        self.number = number
        self.played = played
        self.waiting = b""
        self.target = ""
        self.headers: list[tuple[str, str]] = []
        self.seen: dict = {}
        self.done = 0
        """Steps."""
        self.goes = threading.Event()

    def read(self) -> bytes:
        data = self.socket.recv(65536)
        if not data:
            raise PeerLeftError
        return data

    def read_until(self, mark: bytes) -> bytes:
        while mark not in self.waiting:
            self.waiting += self.read()
        found, _, self.waiting = self.waiting.partition(mark)
        return found

    def read_exactly(self, length: int) -> bytes:
        pieces = [self.waiting]
        missing = length - len(self.waiting)
        while missing > 0:
            pieces.append(self.read())
            missing -= len(pieces[-1])
        found = b"".join(pieces)
        self.waiting = found[length:]
        return found[:length]

    def head(self) -> None:
        first, *lines = self.read_until(b"\r\n\r\n").decode("latin-1").split("\r\n")
        method, self.target, _ = first.split(" ")
        self.headers = [(name, value.strip()) for name, _, value in (line.partition(":") for line in lines)]
        self.seen = {
            "connection": self.number,
            "method": method,
            "target": self.target,
            "headers": self.headers,
            "body": "",
        }
        self.played.note(self.seen)

    def request(self) -> None:
        self.head()
        self.body()

    def body(self) -> None:
        fields = {name.lower(): value for name, value in self.headers}
        if "chunked" in fields.get("transfer-encoding", ""):
            body = b""
            while size := int(self.read_until(b"\r\n"), 16):
                body += self.read_exactly(size)
                self.read_until(b"\r\n")
            self.read_until(b"\r\n")
        else:
            body = self.read_exactly(int(fields.get("content-length", 0)))
        self.seen["body"] = body.decode("latin-1")

    def bytes(self, count: int) -> None:
        self.read_exactly(count)

    def send(self, text: str) -> None:
        self.socket.sendall(text.encode("latin-1"))

    def echo(self, text: str) -> None:
        """Send with the last request's target in place of `{target}`, and the target's length of `{length}`."""
        self.send(text.replace("{target}", self.target).replace("{length}", str(len(self.target))))

    def dribble(self, text: str, gap: float) -> None:
        for byte in text.encode("latin-1"):
            self.socket.sendall(bytes([byte]))
            time.sleep(gap)

    def flood(self, text: str) -> None:
        while True:
            self.send(text)

    def drain(self) -> None:
        with contextlib.suppress(PeerLeftError):
            while True:
                self.read()

    def pause(self, seconds: float) -> None:
        time.sleep(seconds)

    def wait_for_go(self) -> None:
        with self.played.changed:
            self.played.waiting = self
            self.played.changed.notify_all()
        if not self.goes.wait(WALL_S):
            raise PeerLeftError

    def hold(self, seconds: float) -> None:
        """Neither read nor end, until the peer leaves or the time is over."""
        waiting = select.poll()
        waiting.register(self.socket, select.POLLRDHUP)
        waiting.poll(seconds * 1000)

    def shut(self) -> None:
        self.socket.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESETTING)
        raise PeerLeftError

    def tls(self, certificate: str, key: str) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        self.socket = context.wrap_socket(self.socket, server_side=True, suppress_ragged_eofs=True)

    def tunnel(self) -> None:
        """Relay to where the last request's target points, until either side leaves."""
        host, _, port = self.target.rpartition(":")
        with socket.create_connection((host.strip("[]"), int(port))) as far:
            forth = threading.Thread(target=relay, args=(self.socket, far), daemon=True)
            forth.start()
            relay(far, self.socket)
            forth.join()


def relay(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
    for end, how in ((source, socket.SHUT_RD), (sink, socket.SHUT_WR)):
        with contextlib.suppress(OSError):
            end.shutdown(how)


class Played:
    """One port, its script and what came in."""

    def __init__(self, script: list[list[list]]) -> None:
        self.script = script
        self.requests: list[dict] = []
        self.connections = 0
        self.ended = 0
        self.waiting: Connection | None = None
        """The connection that is at its `await`, or was the last to be."""
        self.changed = threading.Condition()
        self.listening = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port = self.listening.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def note(self, seen: dict) -> None:
        with self.changed:
            self.requests.append(seen)

    def accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                plain, _ = self.listening.accept()
                plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                with self.changed:
                    number = self.connections
                    self.connections += 1
                threading.Thread(
                    target=self.play, args=(Connection(plain, number, self),), daemon=True
                ).start()

    def play(self, connection: Connection) -> None:
        try:
            for name, *arguments in self.script[min(connection.number, len(self.script) - 1)]:
                getattr(connection, "wait_for_go" if name == "await" else name)(*arguments)
                with self.changed:
                    connection.done += 1
                    self.changed.notify_all()
        except (PeerLeftError, OSError):
            pass
        finally:
            connection.socket.close()
            with self.changed:
                self.ended += 1
                self.changed.notify_all()

    def seen(self) -> dict:
        with self.changed:
            return {"connections": self.connections, "requests": self.requests, "ended": self.ended}

    def wait(self, count: int) -> dict:
        with self.changed:
            self.changed.wait_for(lambda: self.ended >= count, WALL_S)
        return self.seen()

    def go(self) -> dict:
        with self.changed:
            self.changed.wait_for(lambda: self.waiting, WALL_S)
            connection = self.waiting
            if connection is None:
                return {"gone": False}
            steps = connection.done + 2
            connection.goes.set()
            return {"gone": self.changed.wait_for(lambda: connection.done >= steps, WALL_S)}


def main() -> None:
    playing: dict[int, Played] = {}
    for line in sys.stdin:
        match json.loads(line):
            case {"play": script}:
                played = Played(script)
                playing[played.port] = played
                answer = {"port": played.port}
            case {"seen": port}:
                answer = playing[port].seen()
            case {"ended": port, "count": count}:
                answer = playing[port].wait(count)
            case {"go": port}:
                answer = playing[port].go()
            case {"close": port}:
                # Without the shutdown, the thread in accept() keeps the port alive.
                with contextlib.suppress(OSError):
                    playing[port].listening.shutdown(socket.SHUT_RDWR)
                playing[port].listening.close()
                answer = {}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
