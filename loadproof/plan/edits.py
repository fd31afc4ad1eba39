"""A plan's load with what was changed about it, by hand or by a search, while it was run."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Self

from loadproof.plan.model import Phase

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


class LoadEdit(NamedTuple):
    """From `at_us` of run time on, to the end of the plan or the next edit, there is so much load."""

    at_us: int
    load: int
    """Users; of an open plan arrivals in `RATE_PERIOD_S` seconds."""


class EditedLoad(tuple[Phase, ...]):  # noqa: SLOT001 a tuple that carries more has no slots
    """The phases as they were planned, and the edits, each later than the one before.

    Names, lengths and warm-up of the phases stay. An edit is only ever added for a time that is still to come, so
    what `loadproof.plan.profile` says of the past never changes.
    """

    edits: list[LoadEdit]

    def __new__(cls, phases: Iterable[Phase], edits: Iterable[LoadEdit] = ()) -> Self:
        load = super().__new__(cls, phases)
        load.edits = list(edits)
        return load


def edits_of(load: Sequence[Phase]) -> Sequence[LoadEdit]:
    """In order of time; none where the plan was run as it stands."""
    return load.edits if isinstance(load, EditedLoad) else ()


def users_edits(load: Sequence[Phase]) -> Sequence[LoadEdit]:
    """Those of the number of users: of an open plan none."""
    return () if _is_open(load) else edits_of(load)


def rate_edits(load: Sequence[Phase]) -> Sequence[LoadEdit]:
    """Those of the rate of arrivals."""
    return edits_of(load) if _is_open(load) else ()


def _is_open(load: Sequence[Phase]) -> bool:
    return bool(load) and load[0].arrivals_from is not None
