"""A plan's load with what was changed about it by hand while it was run."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Self

from loadproof.plan.model import Phase

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


class UsersEdit(NamedTuple):
    """From `at_us` of run time on, to the end of the plan or the next edit, there are so many users."""

    at_us: int
    users: int


class EditedLoad(tuple[Phase, ...]):  # noqa: SLOT001 a tuple that carries more has no slots
    """The phases of a closed plan as they were planned, and the edits, each later than the one before.

    Names, lengths and warm-up of the phases stay. An edit is only ever added for a time that is still to come, so
    what `loadproof.plan.profile` says of the past never changes.
    """

    edits: list[UsersEdit]

    def __new__(cls, phases: Iterable[Phase], edits: Iterable[UsersEdit] = ()) -> Self:
        load = super().__new__(cls, phases)
        load.edits = list(edits)
        return load


def edits_of(load: Sequence[Phase]) -> Sequence[UsersEdit]:
    """In order of time; none where the plan was run as it stands."""
    return load.edits if isinstance(load, EditedLoad) else ()
