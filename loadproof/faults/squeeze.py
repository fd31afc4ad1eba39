"""`squeeze`: the target's processes get less CPU, memory or both, by a control group of ours.

Version 1 has a tree a controller, and a group in it may have both processes and groups: ours is made inside that of the
process. In version 2 it is made beside that one, where a group above hands the controllers out (Linux,
admin-guide/cgroup-v1/cgroups.rst, cgroup-v2.rst, "No Internal Process Constraint").
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from loadproof.faults import cgroup
from loadproof.faults.fault import FaultError
from loadproof.faults.machine import cores_of
from loadproof.faults.processes import tree

if TYPE_CHECKING:
    from collections.abc import Iterable

    from loadproof.faults.fault import Undo

PERIOD_US: Final = 100_000
LEAST_QUOTA_US: Final = 1_000
"""The kernel takes no less."""
EMPTY_S: Final = 5.0
OURS: Final = "loadproof-"
PROCESSES: Final = "cgroup.procs"
SWAP: Final = ("memory.memsw.limit_in_bytes", "memory.swap.max")
Limits: TypeAlias = dict[str, int | str]
"""File -> value."""


class Squeeze:
    def __init__(self, settings: dict[str, Any], pids: tuple[int, ...]) -> None:
        self._cores: str | None = settings.get("cores")
        self._memory: int | None = settings.get("memory")
        self._pids = pids

    def prepare(self) -> Undo:
        processes = tree(self._pids)
        name = f"{OURS}{secrets.token_hex(8)}"
        groups = []
        for above, controller, limits in self._places(processes[0].pid):
            homes = [
                [process.pid, str(home)]
                for process in processes
                if (home := next(cgroup.folders(process.pid, controller), None)) is not None
            ]
            groups.append({"folder": str(above / name), "limits": limits, "homes": homes})
        return {"groups": groups}

    def inject(self, undo: Undo) -> None:
        for group in undo["groups"]:
            folder = Path(group["folder"])
            folder.mkdir()
            for file, value in group["limits"].items():
                # Where swap is not counted there is nothing to limit.
                if file not in SWAP or (folder / file).exists():
                    (folder / file).write_text(str(value), encoding="ascii")
            # Those that were born since are found now; the children of what was moved are born inside.
            for process in tree(self._pids):
                _move(process.pid, folder)

    def revert(self, undo: Undo) -> str:
        failed = []
        for group in undo["groups"]:
            if not Path(group["folder"]).name.startswith(OURS):
                raise FaultError(f"{group['folder']} is no control group of ours")
            try:
                _empty(Path(group["folder"]), dict(group["homes"]))
            except OSError as error:
                failed.append(f"{group['folder']}: {error.strerror}")
        if failed:
            raise FaultError("; ".join(failed))
        return ""

    def _places(self, pid: int) -> list[tuple[Path, str, Limits]]:
        """The groups in which ours are made, a controller of each, and the limits of ours."""
        wanted = self._limits()
        found: list[tuple[Path, str, Limits]] = []
        for controller, (limits, _) in wanted.items():
            folders = list(cgroup.folders(pid, controller))
            if not folders:
                raise FaultError(f"the control groups of process {pid} cannot be seen")
            if not (folders[0] / "cgroup.controllers").exists():
                found.append((folders[0], controller, limits))
                continue
            above = next((folder for folder in folders[1:] or folders if _hands_out(folder, wanted)), None)
            if above is None:
                raise FaultError(f"no control group above process {pid} hands out {' and '.join(wanted)}")
            both: Limits = {}
            for _, limits_2 in wanted.values():
                both |= limits_2
            found.append((above, controller, both))
            break
        for above, _, _ in found:
            if not os.access(above, os.W_OK) or not os.access(above / PROCESSES, os.W_OK):
                raise FaultError(f"{above} cannot be written: be root, or have a control group of your own")
        return found

    def _limits(self) -> dict[str, tuple[Limits, Limits]]:
        """Controller -> the limits of version 1, and of version 2, in the order in which they are written."""
        found: dict[str, tuple[Limits, Limits]] = {}
        if self._cores is not None:
            quota_us = max(LEAST_QUOTA_US, round(cores_of(self._cores) * PERIOD_US))
            found["cpu"] = (
                {"cpu.cfs_period_us": PERIOD_US, "cpu.cfs_quota_us": quota_us},
                {"cpu.max": f"{quota_us} {PERIOD_US}"},
            )
        if self._memory is not None:
            found["memory"] = (
                {"memory.limit_in_bytes": self._memory, SWAP[0]: self._memory},
                {"memory.max": self._memory, SWAP[1]: 0},
            )
        return found


def _hands_out(folder: Path, controllers: Iterable[str]) -> bool:
    return set(controllers) <= set(cgroup.read(folder / "cgroup.subtree_control").split())


def _empty(folder: Path, homes: dict[int, str]) -> None:
    """Move all that is in it back, what was born in it too, and remove it."""
    first = next(iter(homes.values()))
    deadline = time.monotonic() + EMPTY_S
    while folder.exists():
        for pid in map(int, cgroup.read(folder / PROCESSES).split()):
            _move(pid, Path(homes.get(pid, first)))
        try:
            folder.rmdir()
        except OSError as error:
            if error.errno != errno.EBUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.01)


def _move(pid: int, folder: Path) -> None:
    # One that has ended is gone from every group.
    with contextlib.suppress(ProcessLookupError):
        (folder / PROCESSES).write_text(str(pid), encoding="ascii")
