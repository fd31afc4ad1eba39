"""Hosts of a test that are far from each other: a TUN device each, and one process that is all the wires.

It holds every packet for the one-way delay, loses some at random, and drops those of a cut link. The kernel's
own netem would do, but not every kernel has it.
"""

import contextlib
import ctypes
import fcntl
import heapq
import itertools
import os
import random
import selectors
import signal
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path

from namespaces import Network, ip, opened

TUNSETIFF = 0x400454CA
IFF_TUN = 0x0001
IFF_NO_PI = 0x1000
CLONE_NEWNET = 0x40000000


class Wan(Network):
    def __init__(self, *hosts, delay_ms, loss, seed):
        super().__init__(*hosts)
        self._wires_words = [str(delay_ms), str(loss), str(seed)]

    def open(self):
        super().open()
        places = [f"{self.namespace(host)}={self.address[host]}" for host in self.hosts]
        self._wires = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", sys.executable, __file__, *self._wires_words, *places],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._wires.stdout.readline() == "ready\n"
        for host in self.hosts:
            here = self.namespace(host)
            ip("-n", here, "address", "add", f"{self.address[host]}/15", "dev", "tun0")
            ip("-n", here, "link", "set", "dev", "tun0", "up")

    def drop(self, one, other):
        self._tell("cut", one, other)

    def let_pass(self, one, other):
        self._tell("heal", one, other)

    def close(self):
        if hasattr(self, "_wires"):
            self._wires.kill()
            self._wires.communicate()
        super().close()

    def _tell(self, verb, one, other):
        self._wires.stdin.write(f"{verb} {self.address[one]} {self.address[other]}\n")
        self._wires.stdin.flush()
        assert self._wires.stdout.readline() == "done\n"


@contextlib.contextmanager
def wan(*hosts, delay_ms, loss=0.0, seed=0):
    """Hosts with this delay one way and this share of packets lost, for the length of the block."""
    with opened(Wan(*hosts, delay_ms=delay_ms, loss=loss, seed=seed)) as network:
        yield network


def tun(namespace):
    """A TUN device named tun0 in a namespace, to be read and written from here."""
    libc = ctypes.CDLL(None, use_errno=True)
    with Path("/run/netns", namespace).open("rb") as entered:
        if libc.setns(entered.fileno(), CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), f"setns {namespace}")
    device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(device, TUNSETIFF, struct.pack("16sH22x", b"tun0", IFF_TUN | IFF_NO_PI))
    return device


def run_wires(delay_s, loss, seed, places):
    chance = random.Random(seed)
    devices = {socket.inet_aton(address): tun(namespace) for namespace, address in places}
    cut = set()
    under_way = []
    order = itertools.count()
    with selectors.DefaultSelector() as selector:
        for device in devices.values():
            selector.register(device, selectors.EVENT_READ)
        selector.register(0, selectors.EVENT_READ)
        print("ready", flush=True)
        while True:
            wait = max(0.0, under_way[0][0] - time.monotonic()) if under_way else None
            for key, _ in selector.select(wait):
                if key.fd == 0:
                    words = sys.stdin.readline().split()
                    if not words:
                        return
                    link = frozenset(map(socket.inet_aton, words[1:]))
                    (cut.add if words[0] == "cut" else cut.discard)(link)
                    print("done", flush=True)
                    continue
                packet = os.read(key.fd, 65536)
                source, sink = packet[12:16], packet[16:20]
                # The kernel also says hello to IPv6 routers, which are not there.
                passes = packet[0] >> 4 == 4 and sink in devices and frozenset((source, sink)) not in cut
                if passes and chance.random() >= loss:
                    heapq.heappush(under_way, (time.monotonic() + delay_s, next(order), source, sink, packet))
            now = time.monotonic()
            while under_way and under_way[0][0] <= now:
                _, _, source, sink, packet = heapq.heappop(under_way)
                if frozenset((source, sink)) not in cut:
                    # A full queue of the device loses a packet, as a wire's does.
                    with contextlib.suppress(BlockingIOError):
                        os.write(devices[sink], packet)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _delay_ms, _loss, _seed, *_places = sys.argv[1:]
    run_wires(float(_delay_ms) / 1000, float(_loss), int(_seed), [place.split("=") for place in _places])
