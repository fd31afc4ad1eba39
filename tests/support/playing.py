"""Governance users against a target, and against one that lies in its answers."""

from __future__ import annotations

import http.server
import json
import os
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

from serving import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable

    from serving import Served

PASSED_ON = ("X-Constitutional-Hash", "Authorization")


class Lie(http.server.BaseHTTPRequestHandler):
    """Passes requests on to the target and changes the answers."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body in one segment

    def do_GET(self):
        length = int(self.headers.get("Content-Length", 0))
        truth = self.server.client.request(
            self.command,
            self.path,
            content=self.rfile.read(length),
            headers={name: self.headers[name] for name in PASSED_ON if name in self.headers},
        )
        status, header, body = self.server.lie(
            truth.status_code, truth.headers["X-Constitutional-Hash"], truth.json()
        )
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.send_header("X-Constitutional-Hash", header)
        self.end_headers()
        self.wfile.write(content)

    do_POST = do_PUT = do_DELETE = do_GET  # noqa: N815 the names that http.server calls

    def log_message(self, *_):
        pass


def played(scenario: str, url: str, rounds: int, *run: str, users: int = 1) -> dict[str, dict]:
    """Requests and checks of users that do every task `rounds` times; see `governing.py`."""
    command = [
        sys.executable,
        str(ROOT / "tests/support/governing.py"),
        scenario,
        url,
        str(rounds),
        str(users),
    ]
    done = subprocess.run(
        [*command, *run],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        timeout=120,
        check=False,
    )

    assert done.returncode == 0, done.stderr.decode()
    seen: dict[str, dict] = json.loads(done.stdout)
    return seen


def played_against(
    target: Served,
    lie: Callable[[int, str, Any], tuple[int, str, Any]],
    scenario: str,
    rounds: int,
    *,
    users: int = 1,
) -> dict[str, dict]:
    """As `played`; `lie` gets status, hash header and body of each answer and gives what is sent instead."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Lie) as server, target.client() as client:
        server.lie = lie
        server.client = client
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            return played(scenario, f"http://127.0.0.1:{server.server_port}", rounds, users=users)
        finally:
            server.shutdown()
            thread.join()
