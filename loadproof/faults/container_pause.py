"""`container_pause`: all processes of a container stand still."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loadproof.faults.docker import Container

if TYPE_CHECKING:
    from loadproof.faults.fault import Undo


class ContainerPause:
    def __init__(self, name: str) -> None:
        self._name = name

    def prepare(self) -> Undo:
        container = Container(self._name)
        return {"id": container.running()["Id"], "engine": container.engine}

    def inject(self, undo: Undo) -> None:
        Container(undo["id"], undo["engine"]).do("pause")

    def revert(self, undo: Undo) -> str:
        container = Container(undo["id"], undo["engine"])
        if container.inspect()["State"]["Paused"]:
            container.do("unpause")
        return ""
