"""Hosts of a test: a network namespace each, joined by a router that really drops the packets of a cut link.

Needs root, iproute2 and a kernel with veth; where one is missing the test that asked for hosts fails.
"""

import contextlib
import fcntl
import itertools
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SWITCH = "switch"
PROBE = """
import socket, sys, time

probe = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
probe.settimeout(float(sys.argv[2]))
probe.connect((sys.argv[1], 9))
begin = time.monotonic()
probe.send(b"?")
try:
    probe.recv(1)
except ConnectionRefusedError:
    print(time.monotonic() - begin)
except TimeoutError:
    pass
"""
_networks = itertools.count(1)


class Network:
    """Namespaces with loopback and a name each; how they are joined is the subclass's.

    Names begin with our pid and a number, so that several tests can run at once, and so that what a killed
    test has left can be told from what a living one uses.
    """

    def __init__(self, *hosts):
        assert os.geteuid() == 0, "only root may make network namespaces: run the tests as root"
        sweep()
        self.hosts = hosts
        self.prefix = f"lp{os.getpid()}.{next(_networks)}-"
        self.address = {host: f"198.18.{number}.2" for number, host in enumerate(hosts, 1)}
        self.cuts = set()

    def namespace(self, host):
        return self.prefix + host

    def command(self, host, *words):
        """Words that run a command on a host; it dies with the thread that starts it."""
        # The pid stays that of the command: each of the two ends in an exec.
        return [
            "setpriv",
            "--pdeathsig",
            "KILL",
            "ip",
            "netns",
            "exec",
            self.namespace(host),
            *map(str, words),
        ]

    def open(self):
        for host in self.hosts:
            self.add(host)

    def add(self, host):
        ip("netns", "add", self.namespace(host))
        ip("-n", self.namespace(host), "link", "set", "dev", "lo", "up")

    def cut(self, one, *others):
        """From now on no packet passes between a host and these others, or any other."""
        for other in others or self.others(one):
            if frozenset((one, other)) not in self.cuts:
                self.cuts.add(frozenset((one, other)))
                self.drop(one, other)

    def heal(self, one, *others):
        for other in others or self.others(one):
            if frozenset((one, other)) in self.cuts:
                self.cuts.remove(frozenset((one, other)))
                self.let_pass(one, other)

    def round_trip_s(self, one, other, patience_s=1.0):
        """How long the answer of another host takes, which is that nobody listens there; None if there is none."""
        asked = self.command(one, sys.executable, "-c", PROBE, self.address[other], patience_s)
        said = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()
        return float(said) if said else None

    def others(self, one):
        return [host for host in self.hosts if host != one]

    def close(self):
        remove(name for name in names() if name.startswith(self.prefix))


class Routed(Network):
    """Each host has a link of its own to a router, which knows no way between two hosts that are cut off."""

    def open(self):
        super().open()
        self.add(SWITCH)
        router = self.namespace(SWITCH)
        for number, host in enumerate(self.hosts, 1):
            here, end = self.namespace(host), f"to-{host}"
            ip(
                "link",
                "add",
                "name",
                "eth0",
                "netns",
                here,
                "type",
                "veth",
                "peer",
                "name",
                end,
                "netns",
                router,
            )
            ip("-n", router, "address", "add", f"198.18.{number}.1/24", "dev", end)
            ip("-n", router, "link", "set", "dev", end, "up")
            ip("-n", here, "address", "add", f"{self.address[host]}/24", "dev", "eth0")
            ip("-n", here, "link", "set", "dev", "eth0", "up")
            ip("-n", here, "route", "add", "default", "via", f"198.18.{number}.1")
        subprocess.run(self.command(SWITCH, "sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward"), check=True)

    def drop(self, one, other):
        self._rule("add", one, other)

    def let_pass(self, one, other):
        self._rule("del", one, other)

    def _rule(self, verb, one, other):
        for source, sink in ((one, other), (other, one)):
            # "blackhole" drops without a word to the sender; "unreachable" and "prohibit" would tell.
            between = ("from", self.address[source], "to", self.address[sink])
            ip("-n", self.namespace(SWITCH), "rule", verb, *between, "blackhole")


@contextlib.contextmanager
def routed(*hosts):
    """Hosts joined by a router for the length of the block; their processes end with it."""
    with opened(Routed(*hosts)) as network:
        yield network


@contextlib.contextmanager
def opened(network):
    try:
        network.open()
        yield network
    finally:
        network.close()


def ip(*words):
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"ip {' '.join(words)}: {done.stderr}"
    return done.stdout


def names():
    return [line.split()[0] for line in ip("netns", "list").splitlines()]


@contextlib.contextmanager
def nobody_sweeps():
    """For the length of the block no other process of tests removes what a killed one has left."""
    with (Path(tempfile.gettempdir()) / "loadproof-test-namespaces.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def sweep():
    """Remove what tests have left that were killed themselves; two who did so at once would be in each other's way."""
    with nobody_sweeps():
        remove_left()


def remove_left():
    """As `sweep`, where nobody else sweeps."""
    found = [(name, re.match(r"lp(\d+)\.\d+-", name)) for name in names()]
    remove(name for name, match in found if match and not Path("/proc", match[1]).exists())


def remove(found):
    for name in list(found):
        deadline = time.monotonic() + 30
        while pids := ip("netns", "pids", name).split():
            assert time.monotonic() < deadline, f"processes {pids} in {name} outlive a SIGKILL"
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGKILL)
            time.sleep(0.01)
        ip("netns", "delete", name)
