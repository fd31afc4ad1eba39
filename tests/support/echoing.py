"""A small web site for locustfiles that ask for anything: it answers every path, and says what it was asked."""

from __future__ import annotations

import contextlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator


class _Echo(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1
    """Buffered: an answer that goes out in two pieces waits for the client's delayed acknowledgement."""

    def do_GET(self) -> None:
        self._answer()

    do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = do_HEAD = do_GET  # noqa: N815 names of `http.server`

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        url = urlsplit(self.path)
        try:
            sent = json.loads(body)
        except ValueError:
            sent = body.decode(errors="replace")
        told = {
            "method": self.command,
            "path": url.path,
            "args": dict(parse_qsl(url.query)),
            "data": sent,
            "json": sent if isinstance(sent, dict | list) else None,
            "greeting": "hello",
        }
        missing = "not_exist" in url.path or "missing" in url.path
        answer = json.dumps(told).encode()
        self.send_response(404 if missing else 500 if "error" in url.path else 200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.send_header("Set-Cookie", "session=1; Path=/")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer)

    def log_message(self, *_parts: object) -> None:
        """Say nothing."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


@contextlib.contextmanager
def echoing() -> Iterator[str]:
    """The URL of the site for the length of the block; paths with `error` answer 500, with `missing` 404."""
    server = _Server(("127.0.0.1", 0), _Echo)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
