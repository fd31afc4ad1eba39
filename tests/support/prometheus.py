"""A real Prometheus on a port of its own, and one that is made up where a real one cannot be brought to misbehave."""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import threading
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from commands import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

LISTENS = re.compile(r'msg="Listening on" address=(127\.0\.0\.1:\d+)')


@dataclass
class Real:
    url: str
    process: subprocess.Popen[bytes]

    def value(self, expression: str) -> float | None:
        """What it says now; None for an empty answer."""
        result = self.asked("query", query=expression)["result"]
        return float(result[0]["value"][1]) if result else None

    def asked(self, what: str, **parameters: Any) -> Any:
        """The data of an answer of its HTTP API; its own words where it finds a mistake."""
        query = urllib.parse.urlencode(parameters)
        try:
            with urllib.request.urlopen(f"{self.url}/api/v1/{what}?{query}", timeout=30) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            with error:
                raise AssertionError(f"{parameters}: {error.read().decode()}") from error

    def end(self) -> None:
        self.process.terminate()
        self.process.wait(30)


@contextlib.contextmanager
def prometheus(folder: Path, *targets: str) -> Iterator[Real]:
    """A Prometheus that scrapes these hosts and ports every second, once it has scraped each of them."""
    with watching(folder, {"target": list(targets)}) as real:
        yield real


@contextlib.contextmanager
def watching(
    folder: Path,
    jobs: Mapping[str, Sequence[str]],
    *,
    rules: Sequence[Path] = (),
    discovered: Mapping[str, str] | None = None,
    port: int = 0,
) -> Iterator[Real]:
    """One that scrapes the jobs' hosts and ports every second, once it has scraped each of them.

    `discovered` are jobs whose hosts are asked for every second at a URL.
    """
    scraped: list[dict[str, Any]] = [
        {"job_name": job, "static_configs": [{"targets": list(targets)}]} for job, targets in jobs.items()
    ]
    for job, url in (discovered or {}).items():
        scraped.append({"job_name": job, "http_sd_configs": [{"url": url, "refresh_interval": "1s"}]})
    (folder / "prometheus.yml").write_text(
        json.dumps(
            {
                "global": {"scrape_interval": "1s"},
                "rule_files": list(map(str, rules)),
                "scrape_configs": scraped,
            }
        )
    )
    log = folder / "prometheus.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [
                "prometheus",
                f"--config.file={folder}/prometheus.yml",
                f"--storage.tsdb.path={folder}/prometheus-data",
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    try:
        place = wait_until(lambda: LISTENS.search(log.read_text()))
        real = Real(f"http://{place[1]}", process)
        wait_until(lambda: "ready to receive web requests" in log.read_text())
        watched = sum(map(len, jobs.values()))
        wait_until(lambda: (real.value("sum(up)") or 0) >= watched)
        yield real
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(30)


@dataclass
class MadeUp:
    """Answers every question with what `answer` says of its expression: (status, body)."""

    answer: Callable[[str], tuple[int, Any]]
    url: str = ""
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    """(expression, Authorization) of every question."""


def vector(*values: str) -> tuple[int, Any]:
    """An answer of so many series."""
    result = [{"metric": {}, "value": [0, value]} for value in values]
    return 200, {"status": "success", "data": {"resultType": "vector", "result": result}}


@contextlib.contextmanager
def made_up_prometheus(answer: Callable[[str], tuple[int, Any]]) -> Iterator[MadeUp]:
    made_up = MadeUp(answer)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1

        def do_POST(self) -> None:
            form = urllib.parse.parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
            expression = form["query"][0]
            made_up.asked.append((expression, self.headers.get("Authorization")))
            status, said = made_up.answer(expression)
            body = said if isinstance(said, bytes) else json.dumps(said).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    made_up.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield made_up
    finally:
        server.shutdown()
        server.server_close()
