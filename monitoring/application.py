"""What a scraper is answered: the run's metrics, and the hosts of its workers."""

from __future__ import annotations

import hmac
import json
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs

from monitoring.exposition import content_type, exposition

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from monitoring.exporter import Exporter

METRICS: Final = "/metrics"
WORKERS: Final = "/workers"
NODE_EXPORTER_PORT: Final = 9100
"""https://github.com/prometheus/prometheus/wiki/Default-port-allocations"""


class Application:
    """WSGI: `GET /metrics` in the classic format or in OpenMetrics, as the scraper asks, and `GET /workers?port=9100`,
    the hosts that workers load from as Prometheus' HTTP service discovery reads them.

    With a token it answers only who sends it as `Authorization: Bearer`.
    """

    def __init__(self, exporter: Exporter, token: str | None = None) -> None:
        self._exporter = exporter
        self._authorization = None if token is None else f"Bearer {token}".encode()
        self.scrapes = 0
        """How many were answered in full."""

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        path = environ.get("PATH_INFO")
        if path not in {METRICS, WORKERS}:
            return _refuse(start_response, "404 Not Found", f"metrics are at {METRICS}\n")
        if environ.get("REQUEST_METHOD") != "GET":
            return _refuse(start_response, "405 Method Not Allowed", "use GET\n", ("Allow", "GET"))
        said = environ.get("HTTP_AUTHORIZATION", "").encode("latin-1", "replace")
        if self._authorization is not None and not hmac.compare_digest(said, self._authorization):
            return _refuse(
                start_response,
                "401 Unauthorized",
                "send the token of this run as Authorization: Bearer\n",
                ("WWW-Authenticate", "Bearer"),
            )
        if path == WORKERS:
            return self._workers(environ.get("QUERY_STRING", ""), start_response)
        kind = content_type(environ.get("HTTP_ACCEPT"))
        # Not compressed: that would cost more than it saves on a scrape's short way.
        body = exposition(self._exporter.collect(), kind)
        self.scrapes += 1
        return _answer(start_response, "200 OK", kind, body)

    def _workers(self, query: str, start_response: Callable[..., Any]) -> list[bytes]:
        port = parse_qs(query, keep_blank_values=True).get("port", [str(NODE_EXPORTER_PORT)])[-1]
        if not (port.isascii() and port.isdigit() and 0 < int(port) <= 65535):
            return _refuse(
                start_response, "400 Bad Request", f"port is a number: {WORKERS}?port={NODE_EXPORTER_PORT}\n"
            )
        body = json.dumps(self._exporter.discovered(int(port))).encode()
        return _answer(start_response, "200 OK", "application/json", body)


def _refuse(
    start_response: Callable[..., Any], status: str, text: str, *headers: tuple[str, str]
) -> list[bytes]:
    return _answer(start_response, status, "text/plain; charset=utf-8", text.encode(), *headers)


def _answer(
    start_response: Callable[..., Any], status: str, kind: str, body: bytes, *headers: tuple[str, str]
) -> list[bytes]:
    start_response(status, [("Content-Type", kind), ("Content-Length", str(len(body))), *headers])
    return [body]
