"""`partition`: no packet passes between a network namespace and the world, or a part of it.

A process of nft in that namespace owns the table of rules, which the kernel takes away with it (nft(8), "flags owner"):
whatever becomes of the keeper, its end of the pipe that the process reads is closed with it.
"""

from __future__ import annotations

import ipaddress
import re
import secrets
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from loadproof.faults.fault import EndedEarlyError, FaultError

if TYPE_CHECKING:
    from loadproof.faults.fault import Undo

NAMESPACES: Final = Path("/run/netns")
NFT_S: Final = 10.0
PRIORITY: Final = -300
"""Before every rule that tracks connections or rewrites addresses."""


class Partition:
    def __init__(self, settings: dict[str, Any]) -> None:
        self._namespace: str = settings["namespace"]
        self._address: str | None = settings.get("address")
        self._port: int | None = settings.get("port")
        self._owner: subprocess.Popen[str] | None = None

    def prepare(self) -> Undo:
        if "/" in self._namespace or not (NAMESPACES / self._namespace).exists():
            raise FaultError(f"there is no network namespace {self._namespace}: `ip netns list` shows them")
        self._nft("list", "tables")
        return {"table": f"loadproof_{secrets.token_hex(8)}"}

    def inject(self, undo: Undo) -> None:
        self._owner = owner = subprocess.Popen(
            [*self._inside(), "nft", "--interactive"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        assert owner.stdin is not None
        owner.stdin.write(f"add table inet {undo['table']} {{ flags owner; {self._rules()} }}\n")
        owner.stdin.flush()
        deadline = time.monotonic() + NFT_S
        while not self._has(undo["table"]):
            if owner.poll() is not None or time.monotonic() > deadline:
                raise FaultError(f"nft did not take the rules: {self._last_words()}")
            time.sleep(0.02)

    def revert(self, undo: Undo) -> str:
        was_early = self._owner is not None and self._owner.poll() is not None
        self._last_words()
        # Of a keeper that was killed, the process that owns it may need a moment to end.
        deadline = time.monotonic() + NFT_S
        while (NAMESPACES / self._namespace).exists() and self._has(undo["table"]):
            if time.monotonic() > deadline:
                raise FaultError(f"the table {undo['table']} is still in the namespace {self._namespace}")
            time.sleep(0.02)
        if was_early:
            raise EndedEarlyError("the process of nft that owned the rules was ended")
        return ""

    def _rules(self) -> str:
        """In both directions, and also for what the namespace passes on."""
        chains = {"input": ("saddr",), "output": ("daddr",), "forward": ("saddr", "daddr")}
        return " ".join(
            f"chain {name} {{ type filter hook {name} priority {PRIORITY}; policy accept; {drops} }};"
            for name, ends in chains.items()
            if (drops := " ".join(f"{match} drop;" for match in self._matches(name, ends)))
        )

    def _matches(self, chain: str, ends: tuple[str, ...]) -> list[str]:
        if self._address is None:
            # A process in the namespace still reaches others in it.
            found = [{"input": 'iif != "lo"', "output": 'oif != "lo"', "forward": ""}[chain]]
        else:
            version = "ip6" if ipaddress.ip_network(self._address, strict=False).version == 6 else "ip"
            found = [f"{version} {end} {self._address}" for end in ends]
        if self._port is None:
            return found
        ports = [f"meta l4proto {{ tcp, udp }} th {end} {self._port}" for end in ("sport", "dport")]
        return [f"{match} {port}".strip() for match in found for port in ports]

    def _last_words(self) -> str:
        if self._owner is None:
            return ""
        try:
            told, _ = self._owner.communicate(timeout=NFT_S)
        except subprocess.TimeoutExpired:
            self._owner.kill()
            told, _ = self._owner.communicate()
        self._owner = None
        return re.sub(r"\s+", " ", told).strip()

    def _has(self, table: str) -> bool:
        return f"table inet {table}" in self._nft("list", "tables").splitlines()

    def _nft(self, *words: str) -> str:
        try:
            done = subprocess.run(
                [*self._inside(), "nft", *words],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=NFT_S,
                check=False,
            )
        except FileNotFoundError:
            raise FaultError("it needs nsenter of util-linux") from None
        except subprocess.TimeoutExpired:
            raise FaultError(f"nft did not answer within {NFT_S:.0f} s") from None
        if done.returncode:
            why = done.stderr.strip().splitlines()
            raise FaultError(
                f"the namespace {self._namespace} cannot be cut: {why[0] if why else 'nft failed'} "
                "(it needs root, and nft of the package nftables)"
            )
        return done.stdout

    def _inside(self) -> list[str]:
        return ["nsenter", f"--net={NAMESPACES / self._namespace}"]
