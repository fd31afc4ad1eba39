"""Passes of a plan's flows against a small site: `flow_playing.py PLAN URL PASSES`.

A process of its own, because Locust patches the one it is imported in. Prints one JSON object: every request as
method, name and error, every check as name, outcome (null where it was skipped) and detail, and how users ended.
"""

from __future__ import annotations

import contextlib
import http.server
import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).resolve().parents[2]


class _Site(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body in one segment

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        self.server.asked.append((self.command, self.path, dict(self.headers.items()), body))
        status, headers, text = self.server.answer(self.command, self.path)
        content = text.encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    do_POST = do_PUT = do_DELETE = do_GET  # noqa: N815 the names that http.server calls

    def log_message(self, *_: object) -> None:
        pass


@contextlib.contextmanager
def site(answer: Callable[[str, str], tuple[int, dict[str, str], str]]) -> Iterator[Any]:
    """A server whose answers `answer` gives for method and path; `asked` keeps every request, `url` is its address."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Site) as server:
        server.answer = answer
        server.asked = []
        server.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def played(plan: Path, url: str, passes: int = 1) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, __file__, str(plan), url, str(passes)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    seen: dict[str, Any] = json.loads(done.stdout)
    return seen


def main(plan: str, url: str, passes: int) -> None:
    from locust.env import Environment
    from locust.exception import StopUser

    from distributed.suite import load_suite
    from loadproof.client.user import LoadUser
    from loadproof.plan.reader import read_plan

    seen: dict[str, list[Any]] = {"requests": [], "checks": [], "stopped": []}
    check = LoadUser.check

    def noticed(user: Any, name: str, outcome: Any, **options: Any) -> bool:
        answer = options.get("on")
        skipped = answer is not None and not (answer.ok and answer.status_code)
        passed = check(user, name, outcome, **options)
        seen["checks"].append([name, None if skipped else passed, options.get("detail")])
        return passed

    LoadUser.check = noticed
    suite = load_suite(None, None, read_plan(Path(plan), environ={}).flows)
    environment = Environment(user_classes=list(suite.classes.values()))
    environment.events.request.add_listener(
        lambda request_type, name, exception, **_: (
            request_type == "CHECK"
            or seen["requests"].append([request_type, name, None if exception is None else str(exception)])
        )
    )
    for name, user_class in suite.classes.items():
        user_class.host = url
        user = user_class(environment)
        for _ in range(passes):
            try:
                user_class.tasks[0](user)
            except StopUser:
                seen["stopped"].append(name)
    print(json.dumps(seen))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
