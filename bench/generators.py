"""The load generators that are compared, each as the command that keeps users busy until it is ended."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from plans import SCENARIOS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

OURS = "loadproof"
BASE = "FastHttpUser"
FOREVER_S = 3_600
BODY = json.dumps({"customer": "u-1", "lines": [{"sku": "A-17", "quantity": 3}], "note": "x" * 940})
"""1 KB, the same that the scenario files send."""
COOKIE = "session=6f1e"


@dataclass(frozen=True)
class Work:
    """What every generator does: so many users, each with its own kept connection and without a pause."""

    name: str
    title: str
    scenario: str
    """`get` or `post`, the beginning of the names of the scenario files."""
    users: int
    path: str
    tls: bool = False

    @property
    def posts(self) -> bool:
        return self.scenario == "post"


Command: TypeAlias = "Callable[[Work, str, Path], list[str]]"
"""From the work, the target's URL and a folder for files to the command line."""


def locust(file: str) -> Command:
    def command(work: Work, url: str, _folder: Path) -> list[str]:
        return [
            *(
                sys.executable,
                "-m",
                "locust",
                "-f",
                str(SCENARIOS / f"{work.scenario}_{file}.py"),
                "--headless",
            ),
            *("--only-summary", "--loglevel", "ERROR", "--host", url),
            *("--users", str(work.users), "--spawn-rate", str(work.users)),
        ]

    return command


def wrk(work: Work, url: str, folder: Path) -> list[str]:
    command = ["wrk", "-t", "1", "-c", str(work.users), "-d", f"{FOREVER_S}s", url + work.path]
    if work.posts:
        script = folder / "post.lua"
        script.write_text(
            f'wrk.method = "POST"\nwrk.body = {BODY!r}\n'
            f'wrk.headers["Content-Type"] = "application/json"\nwrk.headers["Cookie"] = "{COOKIE}"\n'
        )
        command[1:1] = ["-s", str(script)]
    return command


def hey(work: Work, url: str, _folder: Path) -> list[str]:
    options = ["-c", str(work.users), "-z", f"{FOREVER_S}s"]
    if work.posts:
        options += ["-m", "POST", "-T", "application/json", "-H", f"Cookie: {COOKIE}", "-d", BODY]
    return ["hey", *options, url + work.path]


COMMANDS: dict[str, Command] = {
    BASE: locust("fast_http_user"),
    "HttpUser": locust("http_user"),
    "wrk": wrk,
    "hey": hey,
}
DEBIAN = {"wrk": "wrk", "hey": "hey"}
SHORT = {"loadproof": OURS, "fasthttp": BASE, "http": "HttpUser", "wrk": "wrk", "hey": "hey"}
"""What `--peers` takes, in the order of the tables."""
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}


def chosen(peers: str | None) -> list[str]:
    """The generators that are named, or all; SystemExit for one that is unknown."""
    if peers is None:
        return list(SHORT.values())
    unknown = set(peers.split(",")) - set(SHORT)
    if unknown:
        raise SystemExit(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(SHORT)}")
    return [SHORT[name] for name in peers.split(",")]


def versions() -> list[str]:
    return []
