"""The parts that break things as processes of their own, as a run has them: a proxy and a keeper."""

import contextlib
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from commands import wait_until

from loadproof.faults.way import Orders

ROOT = Path(__file__).resolve().parents[2]


@contextlib.contextmanager
def ended(process, lifeline):
    """The process for the block; however that ends, it is gone afterwards."""
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            os.close(lifeline)
        try:
            process.wait(60)
        finally:
            process.kill()
            process.wait()
            process.stdout.close()


def launch(module, *arguments, pass_fds=()):
    """The process and the end of its lifeline that we hold."""
    reading, writing = os.pipe()
    process = subprocess.Popen(
        [sys.executable, "-m", module, *map(str, arguments), "--lifeline-fd", str(reading)],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        pass_fds=(reading, *pass_fds),
    )
    os.close(reading)
    return process, writing


class Echo:
    """Answers every byte with the same, `big` with a megabyte, and an end with its own."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.ends = []
        """How each connection ended here: b"" for its end, or the error."""
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self.listener.accept()
                threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection):
        with connection:
            try:
                while data := connection.recv(65_536):
                    connection.sendall(bytes(1_000_000) if data == b"big" else data)
                    if data == b"end":
                        break
                self.ends.append(b"")
            except OSError as error:
                self.ends.append(error)


@dataclass
class Way:
    """A proxy before an Echo, and a clean connection for orders."""

    port: int
    echo: Echo
    orders: Orders
    name: str
    sockets: list = field(default_factory=list)

    def connect(self, timeout=60):
        made = socket.create_connection(("127.0.0.1", self.port), timeout)
        self.sockets.append(made)
        return made

    def begin(self, kind, name=None, **settings):
        self.orders.give({"do": "begin", "name": name or kind, "kind": kind, "settings": settings})

    def end(self, name):
        self.orders.give({"do": "end", "name": name})


@contextlib.contextmanager
def way(port=None, *more):
    """A proxy before this port of ours, or before an echo, for the length of the block; `more` are options of it."""
    echo = Echo()
    name = f"loadproof-test-{secrets.token_hex(8)}"
    where = ("--host", "127.0.0.1", "--port", port or echo.port)
    process, lifeline = launch("loadproof.faults.proxy", *where, "--orders", name, *more)
    with ended(process, lifeline):
        yield Way(json.loads(process.stdout.readline())["port"], echo, Orders(name), name)
    echo.listener.close()


@dataclass
class Kept:
    """A keeper at work."""

    process: subprocess.Popen
    lifeline: int
    state: Path
    pid: int | None = None
    """Its own, where `process` is that which stands for the run."""

    def line(self):
        return json.loads(self.process.stdout.readline())

    def lines_to(self, kind, who):
        """All up to this one; what several faults tell meanwhile comes in any order."""
        lines = [self.line()]
        while (lines[-1]["kind"], lines[-1]["who"]) != (kind, who):
            lines.append(self.line())
        return lines

    def lines(self):
        """All that are still to come, to its end."""
        return [json.loads(line) for line in self.process.stdout]

    def cut(self):
        """As the kernel does when whoever started it is killed."""
        os.close(self.lifeline)
        self.lifeline = -1

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def kill_with_run(self):
        """Both in one moment: it does not come to notice the run's end."""
        os.kill(self.pid, signal.SIGSTOP)
        self.kill()
        os.kill(self.pid, signal.SIGKILL)


MASTER = """
import os, subprocess, sys, time
reading, writing = os.pipe()
words = [*sys.argv[1:], "--lifeline-fd", str(reading)]
keeper = subprocess.Popen([sys.executable, *words], pass_fds=(reading,), start_new_session=True)
os.close(reading)
print(keeper.pid, flush=True)
time.sleep(600)
"""


@contextlib.contextmanager
def mastering(folder, *faults, **given):
    """A keeper of another process, which stands for a run: it can be killed, and holds the lifeline alone."""
    brief = brief_of(folder)
    process = subprocess.Popen(
        [
            *("setpriv", "--pdeathsig", "KILL", sys.executable, "-c", MASTER),
            *("-m", "loadproof.faults.keeper", "--brief", brief),
        ],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
    )
    kept = Kept(process, -1, folder / "faults.json", int(process.stdout.readline()))
    try:
        hand_over(brief, folder, *faults, **given)
        yield kept
    finally:
        process.kill()
        process.wait()
        kept.lines()
        process.stdout.close()


@contextlib.contextmanager
def keeping(folder, *faults, **given):
    """A keeper whose run begins now; faults are (kind, at in s, for in s, settings)."""
    brief = brief_of(folder)
    process, lifeline = launch("loadproof.faults.keeper", "--brief", brief)
    kept = Kept(process, lifeline, folder / "faults.json")
    try:
        hand_over(brief, folder, *faults, **given)
        yield kept
    finally:
        with ended(process, kept.lifeline):
            pass


def brief_of(folder):
    """The path at which a keeper waits for what it is told."""
    path = folder / f"brief-{secrets.token_hex(4)}"
    os.mkfifo(path)
    return path


def hand_over(path, folder, *faults, target="", pids=(), restart=(), proxy=None, begun_s=0, told=False):
    """Tell a keeper, as soon as it asks: its run begins then, or has begun so long before, however long it took to start."""

    def asked():
        with contextlib.suppress(OSError):
            return os.open(path, os.O_WRONLY | os.O_NONBLOCK)
        return None

    descriptor = wait_until(asked)
    brief = {
        "start_ns": time.monotonic_ns() - int(begun_s * 1e9),
        "seed": 1,
        "state": str(folder / "faults.json"),
        "target": target,
        "pids": list(pids),
        "restart": list(restart),
        "proxy": proxy,
        "told": told,
        "faults": [
            {
                "kind": kind,
                "name": kind,
                "at_us": int(at_s * 1e6),
                "for_us": int(for_s * 1e6),
                "settings": settings,
            }
            for kind, at_s, for_s, settings in faults
        ],
    }
    with open(descriptor, "w") as pipe:  # noqa: PTH123 a descriptor, not a path
        json.dump(brief, pipe)


def state_of(pid):
    """`T` for a process that stands still."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
