"""Docker's engine, asked over its socket.

Where it is says `DOCKER_HOST`, as for the command `docker`: unix:// or tcp://, else the socket of this machine.
"""

from __future__ import annotations

import http.client
import json
import os
import socket
import time
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, urlsplit

from loadproof.faults.fault import EndedEarlyError, FaultError

if TYPE_CHECKING:
    from collections.abc import Callable

HERE: Final = "unix:///var/run/docker.sock"
ANSWER_S: Final = 30.0
PATIENCE_S: Final = 10.0
ANSWER_BYTES: Final = 4 * 1024 * 1024


class Container:
    """One container, by its name or id; every method raises FaultError with the engine's own words."""

    def __init__(self, name: str, engine: str | None = None) -> None:
        self.engine = engine or os.environ.get("DOCKER_HOST") or HERE
        self._path = f"/containers/{quote(name, safe='')}"

    def inspect(self) -> dict[str, Any]:
        found: dict[str, Any] = self.ask("GET", f"{self._path}/json")
        return found

    def running(self) -> dict[str, Any]:
        """What the engine knows of it; FaultError if it does not run, or stands still."""
        found = self.inspect()
        state = found["State"]
        if not state["Running"] or state["Paused"]:
            raise FaultError(f"the container {found['Name'].strip('/')} is {state['Status']}, not running")
        return found

    def do(self, verb: str, body: dict[str, Any] | None = None) -> None:
        self.ask("POST", f"{self._path}/{verb}", body)

    def await_state(self, is_reached: Callable[[dict[str, Any]], bool], what: str) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not is_reached(self.inspect()["State"]):
            if time.monotonic() > deadline:
                raise FaultError(f"the container is not {what} after {PATIENCE_S:.0f} s")
            time.sleep(0.05)

    def ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        connection = _connect(self.engine)
        try:
            text = None if body is None else json.dumps(body)
            connection.request(method, path, text, {"Content-Type": "application/json"} if body else {})
            answer = connection.getresponse()
            told = answer.read(ANSWER_BYTES)
            found = json.loads(told) if told.strip() else None
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise FaultError(f"Docker's engine at {self.engine} does not answer: {error}") from None
        finally:
            connection.close()
        # 304: it is so already.
        if answer.status >= http.client.BAD_REQUEST:
            why = found.get("message", "") if isinstance(found, dict) else ""
            # What is gone needs no revert.
            kind = EndedEarlyError if answer.status == http.client.NOT_FOUND else FaultError
            raise kind(f"Docker's engine answered {method} {path} with {answer.status}: {why.strip()}")
        return found


class _OverUnix(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=ANSWER_S)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(ANSWER_S)
        self.sock.connect(self._path)


def _connect(engine: str) -> http.client.HTTPConnection:
    parts = urlsplit(engine)
    if parts.scheme == "unix":
        return _OverUnix(parts.path)
    if parts.scheme == "tcp" and parts.hostname and not os.environ.get("DOCKER_TLS_VERIFY"):
        return http.client.HTTPConnection(parts.hostname, parts.port or 2375, timeout=ANSWER_S)
    raise FaultError(f"Docker's engine at {engine} cannot be asked: known are unix:// and tcp:// without TLS")
