"""A target whose service time is known: it answers after a fixed delay, and times itself by kernel stamps.

    python bench/known_target.py PORT [--delay-us 5000] [--stall] [--skip-s 3]

The true latency of a request is from the kernel's receipt of it (SO_TIMESTAMPNS, however late this process reads)
to the return of `send` for its answer. Only `GET /small` counts, from `--skip-s` after the first one on. With
`--stall` it neither reads nor answers in the last second of every ten. It prints `begun` at the first request, and
on SIGTERM `{"requests": ..., "unstamped": ..., "p50_ms": ..., "p90_ms": ..., "p95_ms": ..., "p99_ms": ..., "max_ms": ...}`.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import select
import signal
import socket
import struct
import sys
import tempfile
import time
from array import array
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import processes

if TYPE_CHECKING:
    from collections.abc import Iterator

SO_TIMESTAMPNS = 35
STAMP = struct.Struct("qq")
SPIN_NS = 2_000_000
"""How long before an answer is due waiting ends and polling begins: `epoll` waits in whole milliseconds."""
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 6\r\n\r\nsmall\n"
UNKNOWN = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
PERIOD_NS, STALL_NS = 10_000_000_000, 1_000_000_000


class KnownTarget:
    """One listening socket, one loop; requests have no body and arrive in one segment."""

    def __init__(self, port: int, delay_us: int, skip_s: float, *, stall: bool) -> None:
        self.delay_ns = delay_us * 1_000
        self.skip_ns = int(skip_s * 1e9)
        self.stall = stall
        self.first_ns: int | None = None
        self.latencies_ns = array("q")
        self.unstamped_ns = array("q")
        self.due: deque[tuple[int, socket.socket, int]] = deque()
        self.connections: dict[int, socket.socket] = {}
        self.listener = socket.create_server(("127.0.0.1", port), backlog=4096)
        self.listener.setblocking(False)
        self.listener.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        self.epoll = select.epoll()
        self.epoll.register(self.listener, select.EPOLLIN)

    def serve(self) -> None:
        while True:
            now = time.time_ns()
            if self.stall and self.first_ns is not None:
                into = (now - self.first_ns) % PERIOD_NS
                if into >= PERIOD_NS - STALL_NS:
                    time.sleep((PERIOD_NS - into) / 1e9)
                    continue
            while self.due and self.due[0][0] <= now:
                _, connection, stamp_ns = self.due.popleft()
                self.answer(connection, stamp_ns)
            for descriptor, _ in self.epoll.poll(self.patience_s()):
                if descriptor == self.listener.fileno():
                    self.accept()
                else:
                    self.read(self.connections[descriptor])

    def patience_s(self) -> float:
        """How long the loop may wait; a stall must begin on time."""
        if not self.due:
            return 0.01 if self.stall else 1.0
        left_ns = self.due[0][0] - time.time_ns() - SPIN_NS
        return max(0.0, left_ns / 1e9)

    def accept(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except BlockingIOError:
                return
            connection.setblocking(False)
            connection.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.connections[connection.fileno()] = connection
            self.epoll.register(connection, select.EPOLLIN)

    def read(self, connection: socket.socket) -> None:
        try:
            data, ancillary, _, _ = connection.recvmsg(65_536, 64)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.epoll.unregister(connection)
            del self.connections[connection.fileno()]
            connection.close()
        elif not data.startswith(b"GET /small "):
            connection.send(UNKNOWN)
        else:
            if ancillary:
                seconds, nanoseconds = STAMP.unpack(ancillary[0][2])
                stamp_ns = seconds * 1_000_000_000 + nanoseconds
            else:
                # It had come before the socket was accepted and asked to stamp.
                stamp_ns = time.time_ns()
                self.unstamped_ns.append(stamp_ns)
            if self.first_ns is None:
                self.first_ns = stamp_ns
                print("begun", flush=True)
            if self.delay_ns:
                self.due.append((stamp_ns + self.delay_ns, connection, stamp_ns))
            else:
                self.answer(connection, stamp_ns)

    def answer(self, connection: socket.socket, stamp_ns: int) -> None:
        try:
            connection.send(ANSWER)
        except OSError:
            return
        assert self.first_ns is not None
        if stamp_ns - self.first_ns >= self.skip_ns:
            self.latencies_ns.append(time.time_ns() - stamp_ns)

    def truth(self) -> dict[str, float]:
        found = np.frombuffer(self.latencies_ns, dtype=np.int64) / 1e6
        if not len(found):
            return {"requests": 0}
        assert self.first_ns is not None
        unstamped = sum(stamp_ns - self.first_ns >= self.skip_ns for stamp_ns in self.unstamped_ns)
        p50, p90, p95, p99 = np.quantile(found, (0.5, 0.9, 0.95, 0.99), method="inverted_cdf")
        return {
            "requests": len(found),
            "unstamped": unstamped,
            "p50_ms": float(p50),
            "p90_ms": float(p90),
            "p95_ms": float(p95),
            "p99_ms": float(p99),
            "max_ms": float(found.max()),
        }


@dataclass
class Known:
    """A running target; `truth` is what it printed, once it has ended."""

    url: str
    output: Path
    truth: dict[str, float]

    def begun(self) -> bool:
        """Whether the first request has come."""
        return self.output.stat().st_size > 0


@contextlib.contextmanager
def known_target(*options: str) -> Iterator[Known]:
    """Serve on the target's core until the block ends."""
    (port,) = processes.free_ports(1)
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "output"
        known = Known(f"http://127.0.0.1:{port}", output, {})
        command = [sys.executable, __file__, str(port), *options]
        with processes.running(command, core=processes.TARGET_CORE, output=output) as process:
            processes.wait_until("the target listens", lambda: _listens(port), process)
            yield known
        known.truth.update(json.loads(output.read_text().splitlines()[-1]))
    if known.truth.get("unstamped"):
        raise RuntimeError(f"{known.truth['unstamped']} requests came without a kernel stamp")


def _listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
        return True
    return False


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("port", type=int)
    parser.add_argument("--delay-us", type=int, default=0)
    parser.add_argument("--skip-s", type=float, default=0.0)
    parser.add_argument("--stall", action="store_true")
    arguments = parser.parse_args()
    target = KnownTarget(arguments.port, arguments.delay_us, arguments.skip_s, stall=arguments.stall)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        target.serve()
    except SystemExit:
        print(json.dumps(target.truth()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
