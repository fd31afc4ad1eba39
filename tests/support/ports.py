"""Ports for programs that must be told theirs, some time before they listen there."""

from __future__ import annotations

import random
import socket
from pathlib import Path

LOWEST, HIGHEST = 20_000, 65_535
_claims: list[socket.socket] = []


def free_port() -> int:
    """A port of the loopback that is nobody's until this process ends, also while nothing listens there.

    It is none of those that the kernel hands out by itself, to whoever connects or asks for any. Other test
    processes heed the claim, a name of Linux's abstract sockets, which goes with the process.
    """
    first, last = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    asked_for = [port for port in range(LOWEST, HIGHEST + 1) if not first <= port <= last]
    # What tests draw from the seeded `random` stays theirs.
    random.SystemRandom().shuffle(asked_for)
    for port in asked_for:
        claim = socket.socket(socket.AF_UNIX)
        try:
            claim.bind(f"\0loadproof-test-port-{port}")
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", port))
        except OSError:
            claim.close()
            continue
        _claims.append(claim)
        return port
    raise AssertionError(f"no port outside {first} to {last} is free: the kernel hands out the others")
