"""A small HTTP server that falls ill and gets well on a schedule which begins with its switch, and writes it down.

With `PUT /switches {"ill": true}` it stays well for `onset_s`, then refuses three of four requests. With `false` it
answers all again, at first in `SLOW_S` and then, on a straight line over `heal_s`, as quickly as it is used to; or it
`never` gets well. How quick that is comes and goes, as with real servers: beside one that never changes, the hiccup of
a busy machine would be an illness. What it was asked and when it answered stands in `log`, on CLOCK_MONOTONIC.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import math
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

WELL_S = 0.05
SWING, SWING_S = 0.4, 5
"""How far from `WELL_S` an answer's time moves, as a part of it, and in how many seconds back and forth."""
SLOW_S = 0.6


@dataclass
class Ailing:
    url: str
    onset_s: float
    heal_s: float
    spells: list[tuple[int, int | None]] = field(default_factory=list)
    """(switched on, switched off) in nanoseconds."""
    log: list[tuple[int, int, bool]] = field(default_factory=list)
    """(asked, answered, ok) in nanoseconds."""
    never: int = 1
    """Spells after which it gets well; from the next one it does not."""
    _count: Iterator[int] = field(default_factory=itertools.count)

    def switch(self, *, ill: bool) -> None:
        now = time.monotonic_ns()
        if ill:
            self.spells.append((now, None))
        elif self.spells and self.spells[-1][1] is None:
            self.spells[-1] = (self.spells[-1][0], now)

    def answer(self) -> bool:
        """How a request fares that has just come; takes the time of its answer."""
        asked = time.monotonic_ns()
        wait_s, ok = self._fate(asked)
        time.sleep(wait_s)
        self.log.append((asked, time.monotonic_ns(), ok))
        return ok

    def _fate(self, now: int) -> tuple[float, bool]:
        well_s = WELL_S * (1 + SWING * math.sin(2 * math.pi * now / 1e9 / SWING_S))
        if not self.spells:
            return well_s, True
        on, off = self.spells[-1]
        if off is not None and len(self.spells) <= self.never:
            left = 1 - (now - off) / 1e9 / self.heal_s
            return well_s + (SLOW_S - WELL_S) * max(0.0, left), True
        if (now - on) / 1e9 < self.onset_s:
            return well_s, True
        return 0.01, next(self._count) % 4 == 0


@contextlib.contextmanager
def ailing(onset_s: float, heal_s: float) -> Iterator[Ailing]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            if self.path == "/switches":
                self._say(200, json.dumps({"ill": bool(state.spells) and state.spells[-1][1] is None}))
            else:
                self._say(200 if state.answer() else 503, "{}")

        def do_PUT(self) -> None:
            told = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            state.switch(ill=told["ill"])
            self._say(200, json.dumps(told))

        def _say(self, status: int, text: str) -> None:
            body = text.encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 128

    server = Server(("127.0.0.1", 0), Handler)
    state = Ailing(f"http://127.0.0.1:{server.server_port}", onset_s, heal_s)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
