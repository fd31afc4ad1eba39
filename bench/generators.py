"""The load generators that are compared, each as the command that keeps users busy until it is ended."""

from __future__ import annotations

import functools
import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from plans import SCENARIOS
from scenarios.order import ORDER

if TYPE_CHECKING:
    from collections.abc import Callable

OURS = "loadproof"
BASE = "FastHttpUser"
FOREVER_S = 3_600
NPM = {"autocannon": "8.0.0", "artillery": "2.0.21"}
"""Versions that run on the Node.js of Debian's backports and later (18.16)."""
ENVIRONMENT = {
    **{name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")},
    "ARTILLERY_DISABLE_TELEMETRY": "true",
    "K6_NO_USAGE_REPORT": "true",
    "NO_UPDATE_NOTIFIER": "1",
}


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
    left_out: tuple[str, ...] = ()
    """Generators that cannot do it."""
    why: str = ""
    """They cannot, for the results."""

    @property
    def posts(self) -> bool:
        return self.scenario == "post"


Command: TypeAlias = "Callable[[Work, str, Path], list[str]]"
"""From the work, the target's URL and a folder for files to the command line."""


def locust(file: str) -> Command:
    def command(work: Work, url: str, _folder: Path) -> list[str]:
        scenario = SCENARIOS / f"{work.scenario}_{file}.py"
        return [*stock_locust(scenario, url), "--users", str(work.users), "--spawn-rate", str(work.users)]

    return command


def stock_locust(scenario: Path | str, url: str) -> list[str]:
    """Plain headless Locust in one process, without the number of users."""
    return [
        *(sys.executable, "-m", "locust", "-f", str(scenario), "--headless", "--only-summary"),
        *("--loglevel", "ERROR", "--host", url),
    ]


def wrk(work: Work, url: str, _folder: Path) -> list[str]:
    return ["wrk", "-t", "1", "-c", str(work.users), "-d", f"{FOREVER_S}s", url + work.path]


def hey(work: Work, url: str, _folder: Path) -> list[str]:
    return ["hey", "-c", str(work.users), "-z", f"{FOREVER_S}s", url + work.path]


def autocannon(work: Work, url: str, _folder: Path) -> list[str]:
    options = ["-c", str(work.users), "-d", str(FOREVER_S), "--no-progress"]
    return ["node", str(npm() / "autocannon" / "autocannon.js"), *options, url + work.path]


def artillery(work: Work, url: str, folder: Path) -> list[str]:
    step: dict[str, object] = {"get": {"url": work.path}}
    first: list[dict[str, object]] = []
    if work.posts:
        first = [{"post": {"url": "/login"}}]
        capture = [
            {"json": "$.order.status", "as": "status"},
            {"json": "$.order.total", "as": "total"},
        ]
        expect = [{"equals": ["{{ status }}", "accepted"]}, {"equals": ["{{ total }}", 4430]}]
        step = {"post": {"url": work.path, "json": ORDER, "capture": capture, "expect": expect}}
    script = {
        "config": {
            "target": url,
            "tls": {"rejectUnauthorized": False},
            "phases": [{"duration": 1, "arrivalCount": work.users}],
            "plugins": {"expect": {"outputFormat": "silent"}} if work.posts else {},
        },
        "scenarios": [{"flow": [*first, {"loop": [step], "count": 10**9}]}],
    }
    path = folder / "artillery.json"
    path.write_text(json.dumps(script))
    return ["node", str(npm() / "artillery" / "bin" / "run"), "run", "--quiet", str(path)]


def k6(work: Work, url: str, folder: Path) -> list[str]:
    script = folder / "k6.js"
    start = "import http from 'k6/http';\nimport { check } from 'k6';\n"
    step = f"http.get('{url}{work.path}');"
    if work.posts:
        start += f"const order = {json.dumps(ORDER)};\nlet known = false;\n"
        step = f"""\
if (!known) {{ http.post('{url}/login'); known = true; }}
    const headers = {{'Content-Type': 'application/json'}};
    const answer = http.post('{url}{work.path}', JSON.stringify(order), {{headers}});
    check(answer, {{
        accepted: (one) => one.json().order.status === 'accepted',
        total: (one) => one.json().order.total === 4430,
    }});"""
    options = f"{{vus: {work.users}, duration: '1h', insecureSkipTLSVerify: true, noCookiesReset: true}}"
    script.write_text(
        f"{start}export const options = {options};\nexport default function () {{\n    {step}\n}}\n"
    )
    return ["k6", "run", "--quiet", "--address", "", str(script)]


@functools.cache
def npm() -> Path:
    """`node_modules` with the pinned tools, installed once into the temporary folder of this machine."""
    wanted = [f"{name}@{number}" for name, number in NPM.items()]
    folder = Path(tempfile.gettempdir()) / f"loadproof-bench-{'-'.join(NPM.values())}"
    if not (folder / "installed").exists():
        folder.mkdir(exist_ok=True)
        print(f"installing {' and '.join(wanted)} into {folder} (about a minute)", flush=True)
        quiet = ["--ignore-scripts", "--no-audit", "--no-fund", "--loglevel", "error"]
        subprocess.run(["npm", "install", "--no-save", *quiet, *wanted], cwd=folder, check=True)
        (folder / "installed").touch()
    return folder / "node_modules"


COMMANDS: dict[str, Command] = {
    BASE: locust("fast_http_user"),
    "HttpUser": locust("http_user"),
    "wrk": wrk,
    "hey": hey,
    "autocannon": autocannon,
    "artillery": artillery,
    **({"k6": k6} if shutil.which("k6") else {}),
}
SHORT = {"loadproof": OURS, "fasthttp": BASE, "http": "HttpUser"} | {
    name: name for name in COMMANDS if name.islower()
}
"""What `--peers` takes, in the order of the tables."""


def chosen(peers: str | None) -> list[str]:
    """The generators that are named, or all; SystemExit for one that is unknown."""
    if peers is None:
        return list(SHORT.values())
    unknown = set(peers.split(",")) - set(SHORT)
    if unknown:
        raise SystemExit(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(SHORT)}")
    return [SHORT[name] for name in peers.split(",")]


def versions() -> list[str]:
    """What the tables say of the tools that are no Python packages."""
    debian = subprocess.run(
        ["dpkg-query", "-W", "-f", "${Package} ${Version}\n", "nginx-light", "wrk", "hey"],
        capture_output=True,
        text=True,
        check=False,
    ).stdout.splitlines()
    npm_tools = [f"{name} {number}" for name, number in NPM.items()]
    k6_version = [" ".join(_said("k6", "version").split()[:2])] if "k6" in COMMANDS else []
    return [*debian, f"node {_said('node', '--version').strip().lstrip('v')}", *npm_tools, *k6_version]


def _said(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout
