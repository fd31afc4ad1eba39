"""A target of known capacity: so many counters that each take a fixed time for a request, and one queue before them.

With `refuse` whoever comes while all counters are taken and so many wait already is answered 503 at once.
"""

from __future__ import annotations

import argparse
import asyncio
import socket
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path


async def serve(listener: socket.socket, counters: int, service_s: float, refuse: int | None) -> None:
    free = asyncio.Semaphore(counters)
    inside = 0

    async def answer(reader, writer):
        nonlocal inside
        try:
            while True:
                await reader.readuntil(b"\r\n\r\n")
                if refuse is not None and inside >= counters + refuse:
                    writer.write(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n")
                    continue
                inside += 1
                try:
                    async with free:
                        await asyncio.sleep(service_s)
                finally:
                    inside -= 1
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(answer, sock=listener)
    async with server:
        await server.serve_forever()


@contextmanager
def hall(counters: int, service_s: float, refuse: int | None = None):
    """Its URL, while it is open."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        words = ["--fd", str(listener.fileno()), "--counters", str(counters), "--service", str(service_s)]
        words += [] if refuse is None else ["--refuse", str(refuse)]
        process = subprocess.Popen([sys.executable, Path(__file__), *words], pass_fds=[listener.fileno()])
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            process.kill()
            process.wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--fd", type=int)
    parser.add_argument("--counters", type=int)
    parser.add_argument("--service", type=float)
    parser.add_argument("--refuse", type=int)
    asked = parser.parse_args()
    asyncio.run(serve(socket.socket(fileno=asked.fd), asked.counters, asked.service, asked.refuse))
