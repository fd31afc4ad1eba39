"""`restart`: the target that the run has started is killed, and started again at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loadproof.faults.kill import Kill

if TYPE_CHECKING:
    from loadproof.faults.fault import Undo


class Restart(Kill):
    def inject(self, undo: Undo) -> None:
        super().inject(undo)
        super().revert(undo)
