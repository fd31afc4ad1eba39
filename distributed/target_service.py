"""The target as the run sees it: started beside the run or reached by URL, asked for its health and counts."""

from __future__ import annotations

import http.client
import json
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from typing import TYPE_CHECKING, Any, Final

import gevent
import psutil

from distributed.processes import Child, start_child, tail
from loadproof.client.origin import PORTS
from loadproof.errors import TargetError

if TYPE_CHECKING:
    from pathlib import Path

START_S: Final = 30.0
ANSWER_S: Final = 5.0
COUNT_UNREAD: Final = "the target's count could not be read"
ANSWER_BYTES: Final = 4 * 1024 * 1024


def start_embedded(log: Path) -> tuple[Child, str]:
    """Start the reference target on a free loopback port; returns it and its URL once it answers."""
    _, module, *arguments = command(0)
    child = start_child("target", module, arguments, log=log, stdout=subprocess.PIPE)
    try:
        line = first_line(child)
        url = str(json.loads(line)["url"])
    except (ValueError, KeyError, TargetError) as error:
        child.end(2.0)
        raise TargetError(f"the embedded target did not start: {error}\n{tail(log)}") from error
    return child, url


def command(port: int) -> list[str]:
    """The words behind `python` that start the reference target."""
    return ["-m", "target.server", "--host", "127.0.0.1", "--port", str(port)]


def counts(url: str, run: str) -> tuple[dict[str, int] | None, str | None]:
    """What the target counted for this run by endpoint; or None and the reason why there is no count."""
    try:
        body = json.loads(get(f"{url}/counts?{urllib.parse.urlencode({'run': run})}"))
        counted = {str(name): int(number) for name, number in body["counts"].items()}
    except urllib.error.HTTPError as error:
        error.close()
        if error.code not in {404, 405, 501}:
            return None, f"{COUNT_UNREAD}: GET /counts answered {error.code}"
        return None, f"the target does not count requests (GET /counts answered {error.code})"
    except (
        OSError,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        OverflowError,
        http.client.HTTPException,
    ) as error:
        return None, f"{COUNT_UNREAD}: {error}"
    return counted, None


def local_pid(url: str) -> int | None:
    """One process that listens at a loopback URL, to sample its resources; None where it cannot be told."""
    port = _local_port(url)
    try:
        for connection in psutil.net_connections("tcp"):
            if _listens(connection, port):
                return None if connection.pid is None else int(connection.pid)
    except (psutil.Error, OSError):
        pass
    return None


def local_pids(url: str) -> list[int]:
    """All processes that listen there, as far as we may look into them: several can share a socket."""
    port = _local_port(url)
    found = []
    for process in psutil.process_iter():
        try:
            if any(_listens(connection, port) for connection in process.net_connections("tcp")):
                found.append(process.pid)
        except (psutil.Error, OSError):
            continue
    return found


def _local_port(url: str) -> int | None:
    parts = urllib.parse.urlsplit(url)
    if parts.hostname not in {"127.0.0.1", "localhost", "::1"}:
        return None
    return parts.port or PORTS[parts.scheme]


def _listens(connection: Any, port: int | None) -> bool:
    address = connection.laddr
    return connection.status == psutil.CONN_LISTEN and bool(address) and address.port == port


def get(url: str) -> bytes:
    """One GET without proxies, at most five seconds and four megabytes; raises as urllib does."""
    request = urllib.request.Request(url, headers={"User-Agent": "loadproof"})  # noqa: S310 the plan's reader allows http(s) only
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(
        request, timeout=ANSWER_S
    ) as answer:
        body: bytes = answer.read(ANSWER_BYTES)
    return body


def first_line(child: Child) -> str:
    """What a child says first; TargetError if it does not."""
    with gevent.Timeout(START_S, TargetError(f"it said nothing for {START_S:.0f} s")):
        assert child.process.stdout is not None
        line: bytes = child.process.stdout.readline()
    if not line.endswith(b"\n"):
        raise TargetError("it ended before it answered")
    return line.decode("utf-8", "replace")
