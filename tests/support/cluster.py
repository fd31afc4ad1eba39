"""A master, its workers and a target on hosts of their own, what befalls them, and what they wrote of it."""

import datetime
import functools
import json
import math
import signal
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from commands import environment, loadproof, wait_until

from analyzer.report import analyse
from loadproof.measure.journal import Journal

STOOD_STILL_US = 5_000_000
"""An interval of this length is that of a process that was stopped: its users were not at work, as it will believe."""
MASTER = "master"
TARGET = "target"
VISITOR = """\
from locust import constant, task

from loadproof.client.user import LoadUser


class Visitor(LoadUser):
    wait_time = constant(0.2)
    default_headers = {"X-Constitutional-Hash": "cdd01ef066bc6cf2"}

    @task
    def policies(self):
        self.client.get("/policies")
"""
COUNTS = """\
import sys
from urllib.request import urlopen

print(urlopen(sys.argv[1], timeout=60).read().decode())
"""


def plan(*regions, users=20, seconds=20, **more):
    """A plan of constant load with a short ramp. `regions` are names, each with one worker, or `NAME:WORKERS`."""
    parts = [region.partition(":") for region in regions]
    return json.dumps(
        {
            "name": "cluster",
            "locustfile": "visitor.py",
            "load": [
                {"phase": "ramp", "duration": "2s", "users": f"0..{users}", "warmup": True},
                {"phase": "steady", "duration": f"{seconds - 2}s", "users": users},
            ],
            "regions": [{"name": name, "workers": int(number or 1)} for name, _, number in parts],
            "rules": ["p95 <= 5s", "error_ratio <= 1%"],
            "seed": 7,
            **more,
        }
    )


def hosts_of(*regions):
    """The host names that such a plan needs: the master's, the target's, and one a worker, named as it."""
    parts = [region.partition(":") for region in regions]
    workers = [f"{name}-{at:02d}" for name, _, number in parts for at in range(1, int(number or 1) + 1)]
    return (MASTER, TARGET, *workers)


@dataclass
class Books:
    """What all journals found say together, and what the target counted for itself."""

    started: int = 0
    ok: int = 0
    failed: int = 0
    unfinished: int = 0
    answered: int = 0
    unanswered: int = 0
    counted: int = 0
    torn: list[str] = field(default_factory=list)
    """Journals without FIN."""

    @property
    def lost(self):
        """Requests that reached the target and that nobody tells of."""
        return max(0, self.counted - self.answered - self.unanswered)

    @property
    def invented(self):
        """Answers to requests that the target never had."""
        return max(0, self.answered - self.counted)

    def __str__(self):
        return (
            f"started {self.started}, ok {self.ok}, failed {self.failed}, unfinished {self.unfinished}, "
            f"target counted {self.counted}, lost {self.lost}, invented {self.invented}, torn {self.torn}"
        )


class Cluster:
    """Processes on the hosts of a network, which end with it; what they wrote can be read afterwards, too."""

    def __init__(self, network, folder, plan_text, *, switches=(), visitor=VISITOR):
        self.network = network
        self.visitor = visitor
        self.folder = folder
        self.workers = [host for host in network.hosts if host not in {MASTER, TARGET}]
        self.processes = {}
        self.codes = {}
        """Exit codes of the master and of the workers that came to their end by themselves."""
        self._counted = None
        folder.mkdir(exist_ok=True)
        (folder / "plan.json").write_text(plan_text)
        (folder / "visitor.py").write_text(visitor)
        made = loadproof("keys", "set", "./plan.json", cwd=folder)
        assert made.returncode == 0, made.stderr
        self.url = f"http://{network.address[TARGET]}:8000"
        words = [word for switch in switches for word in ("--switch", switch)]
        target = self.spawn(TARGET, "target", "--host", network.address[TARGET], "--port", 8000, *words)
        wait_until(lambda: self.output(TARGET) or target.poll() is not None)
        assert target.poll() is None, self.output(TARGET)

    def spawn(self, host, *words, cwd=None, name=None):
        """Start a verb on a host; its output goes to a file, appended to what its predecessor said."""
        name = name or host
        with (self.folder / f"{name}.log").open("a") as log:
            self.processes[name] = subprocess.Popen(
                self.network.command(host, sys.executable, "-m", "loadproof", *words),
                cwd=cwd or self.folder,
                env=environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        return self.processes[name]

    def start(self):
        """Begin the master and all workers."""
        self.start_master()
        for worker in self.workers:
            self.start_worker(worker)

    def start_master(self):
        return self._master("./plan.json", "--target", self.url)

    def resume_master(self):
        """A new process that goes on where the dead one was."""
        return self._master("--resume", self.run)

    def _master(self, *words):
        address = self.network.address[MASTER]
        return self.spawn(
            MASTER, "master", "--keys", "set", "--bind", address, "--yes", "--no-analysis", *words
        )

    def start_worker(self, worker):
        """A process for a worker on its host, where nothing lies but its keys, its locustfile and its journals."""
        home = self.folder / worker
        if not home.exists():
            home.mkdir()
            for file, mode in ((f"{worker}.key", 0o600), ("master.pub", 0o644)):
                (home / file).write_bytes((self.folder / "set" / file).read_bytes())
                (home / file).chmod(mode)
            (home / "visitor.py").write_text(self.visitor)
        return self.spawn(
            worker,
            *("worker", "--master", self.network.address[MASTER], "--region", worker.rpartition("-")[0]),
            *("--key", f"{worker}.key", "--master-key", "master.pub", "-f", "visitor.py"),
            cwd=home,
        )

    def kill(self, name):
        """As the kernel does when memory is short: no word to anybody."""
        self.processes[name].kill()
        self.processes[name].wait()

    def freeze(self, name):
        self.processes[name].send_signal(signal.SIGSTOP)

    def thaw(self, name):
        self.processes[name].send_signal(signal.SIGCONT)

    def terminate(self, name):
        self.processes[name].send_signal(signal.SIGTERM)

    def until(self, second):
        """Return at this second of run time, which is when something shall happen."""
        time.sleep(max(0.0, self.zero + second - time.time()))

    @functools.cached_property
    def zero(self):
        """The wall clock at the zero of run time, from the first phase's event."""
        [first, *_] = wait_until(self._phases, seconds=120)
        return first["utc_s"] - first["at_us"] / 1e6

    @property
    def now(self):
        """Seconds of run time."""
        return time.time() - self.zero

    def _phases(self):
        assert self.processes[MASTER].poll() is None, self.output(MASTER)
        return self.events("phase") if self.runs() else []

    def finish(self, seconds=120):
        """Wait for the ends of the master and of the workers that are left, and have the target say its count."""
        deadline = time.monotonic() + seconds
        for name, process in self.processes.items():
            if name != TARGET and process.returncode is None:
                self.codes[name] = process.wait(timeout=max(1.0, deadline - time.monotonic()))
        for name in self.codes:
            assert "Traceback" not in self.output(name), self.output(name)
        self.ask_target()

    def output(self, name):
        return (self.folder / f"{name}.log").read_text()

    # What they wrote.

    def runs(self):
        return [path for path in (self.folder / "reports").glob("*") if not path.name.endswith("-recovered")]

    @property
    def run(self):
        [found] = self.runs()
        return found

    def manifest(self):
        return json.loads((self.run / "manifest.json").read_text())

    def report(self, run=None):
        """As `loadproof report` would judge it."""
        return analyse(run or self.run)

    def events(self, kind=None):
        """Of the run so far; `utc_s` is the wall clock in seconds."""
        file = self.run / "events.jsonl"
        lines = file.read_text().splitlines() if file.exists() else []
        events = [json.loads(line) for line in lines if line.endswith("}")]
        for event in events:
            event["utc_s"] = _utc_s(event["utc"])
        return [event for event in events if kind in {None, event["kind"]}]

    def journals(self, run=None):
        """The master's copies, or those of another run folder, by file name."""
        return {path.name: Journal(path) for path in sorted((run or self.run).glob("journals/*.journal"))}

    def own_journals(self):
        """What the workers wrote on their own hosts, by file name."""
        found = [path for worker in self.workers for path in (self.folder / worker).rglob("*.journal")]
        return {path.name: Journal(path) for path in sorted(found)}

    def ask_target(self):
        """Take down what the target has counted for the run; asked on its own host, whatever is cut off."""
        url = f"{self.url}/counts?run={self.manifest()['run']}"
        asked = subprocess.run(
            self.network.command(TARGET, sys.executable, "-c", COUNTS, url),
            capture_output=True,
            text=True,
            timeout=90,
            check=True,
        )
        self._counted = int(json.loads(asked.stdout)["total"])

    def books(self, run=None):
        books = Books(counted=self._counted)
        for name, journal in self.journals(run).items():
            for interval in journal.intervals():
                books.started += interval.started
                for key, series in interval.series.items():
                    how = {"ok": "ok", "unfinished": "unfinished"}.get(key.outcome, "failed")
                    setattr(books, how, getattr(books, how) + series.histogram.count)
                for exchanges in interval.exchanges.values():
                    books.answered += exchanges.answered
                    books.unanswered += exchanges.unanswered
            if not journal.state.complete:
                books.torn.append(name)
        return books

    def load(self, run=None):
        """Users at work in each second of run time, over all journals, but for those of a worker that stood still."""
        user_us = Counter()
        for journal in self.journals(run).values():
            for interval in journal.intervals():
                if interval.length_us < STOOD_STILL_US:
                    _spread(user_us, interval, sum(interval.user_us.values()))
        return {second: amount / 1e6 for second, amount in sorted(user_us.items())}

    def below(self, share, users, begin, end):
        """The seconds from `begin` on and before `end` with less than this share of so many users, and their users."""
        load = self.load()
        return {
            second: round(load.get(second, 0.0), 2)
            for second in range(math.ceil(begin), math.floor(end))
            if load.get(second, 0.0) < share * users
        }

    def above(self, share, users):
        """The first seconds of 10 s with more than this share of so many users on average, and the average."""
        load = self.load()
        averages = {
            begin: sum(load.get(second, 0.0) for second in range(begin, begin + 10)) / 10
            for begin in range(max(load, default=0) + 1)
        }
        return {begin: round(average, 2) for begin, average in averages.items() if average > share * users}


def together(plays, at_once=4):
    """Play scenes with a network and a cluster each, some at once since most of it is waiting; their clusters by name.

    A play is a network, and a function that is given it and plays a cluster there to its end. What a scene
    fails by stands in its place: it is the failure of the test that looks at it.
    """

    def play(scene):
        network, act = scene
        try:
            with network as hosts:
                return act(hosts)
        except Exception as error:  # noqa: BLE001 raised where it is looked at
            return error

    with ThreadPoolExecutor(at_once) as pool:
        return dict(zip(plays, pool.map(play, plays.values()), strict=True))


def outcome(found):
    """What a scene gave; raises what it failed by."""
    if isinstance(found, Exception):
        raise found
    return found


def _spread(user_us, interval, amount):
    """Over the seconds that an interval touches, evenly: the last one of a run is short, a busy worker's long."""
    begin, end = interval.start_us, interval.start_us + interval.length_us
    for second in range(begin // 1_000_000, max(begin, end - 1) // 1_000_000 + 1):
        inside = min(end, (second + 1) * 1_000_000) - max(begin, second * 1_000_000)
        user_us[second] += amount * inside / max(1, interval.length_us)


def _utc_s(text):
    return datetime.datetime.fromisoformat(text).timestamp()
