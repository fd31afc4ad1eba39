"""Who of the cluster was not there, and when: workers whose load others carried, regions below their quorum."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

from loadproof.verdict.facts import Absence


class Absences:
    """In order of their beginning; of one worker or region at most one is open."""

    def __init__(self) -> None:
        self._absences: list[Absence] = []

    def begin(self, who: str, at_us: int, why: str) -> None:
        self._absences.append(Absence(who, at_us, None, why))

    def end(self, who: str, at_us: int) -> None:
        self._absences = [
            replace(absence, until_us=at_us) if absence.who == who and absence.until_us is None else absence
            for absence in self._absences
        ]

    def since_us(self, who: str) -> int | None:
        """When the absence began that goes on; None when there is none."""
        return next(
            (each.from_us for each in self._absences if each.who == who and each.until_us is None), None
        )

    @property
    def open(self) -> list[str]:
        """Who is absent now."""
        return [absence.who for absence in self._absences if absence.until_us is None]

    def documents(self) -> list[dict[str, Any]]:
        """For the manifest."""
        return [asdict(absence) for absence in self._absences]
