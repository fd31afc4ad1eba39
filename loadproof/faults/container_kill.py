"""`container_kill`: a container is killed, and started again when the fault is over."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loadproof.faults.docker import Container
from loadproof.faults.fault import FaultError

if TYPE_CHECKING:
    from loadproof.faults.fault import Undo


class ContainerKill:
    def __init__(self, name: str) -> None:
        self._name = name

    def prepare(self) -> Undo:
        container = Container(self._name)
        found = container.running()
        if found["HostConfig"]["AutoRemove"]:
            raise FaultError(f"the container {self._name} is removed when it ends (--rm)")
        return {"id": found["Id"], "engine": container.engine}

    def inject(self, undo: Undo) -> None:
        container = Container(undo["id"], undo["engine"])
        # The engine takes a kill as somebody's will, and leaves it dead whatever its restart policy is.
        container.do("kill?signal=KILL")
        container.await_state(lambda state: not state["Running"], "dead")

    def revert(self, undo: Undo) -> str:
        container = Container(undo["id"], undo["engine"])
        container.do("start")
        container.await_state(lambda state: bool(state["Running"]), "running")
        return ""
