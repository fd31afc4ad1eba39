"""Who is in the run, and which pieces of the load each worker may carry: a state machine without sockets or clocks.

Two promises, whatever is lost or late. A piece is never placed on a worker while another may still carry it; and
whatever nobody carries is placed as soon as that is certain. Certain is: the worker said that it has put the piece
down, it ended its journal, its lease lapsed, or the kernel closed its connection and it did not come back.

Every input is told with the time, in nanoseconds of one clock that also runs while the machine sleeps; `tick` is
called after each and gives what is to be sent.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final, NamedTuple

from distributed.lease import LEASE_NS

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

    from distributed.placement import Seat

AFTER_LAPSE_NS: Final = 1_000_000_000
"""Between the end of a lease and its load's move: clocks of two machines may run apart by so much in 15 s."""
AFTER_CLOSE_NS: Final = 2_000_000_000
"""How long a worker whose connection was closed may take to come back, at least."""
FIRST_PAUSE_NS: Final = 500_000_000
"""Until it notices and tries again."""
ROUND_TRIPS_BACK: Final = 5
"""One for TCP, two for CURVE, one for hello and welcome, and its heartbeat."""


class Placement(NamedTuple):
    """`worker` is to carry these pieces and no others; a later revision replaces an earlier one."""

    worker: str
    revision: int
    pieces: frozenset[int]


class Change(StrEnum):
    AWAY = "away"
    """Its load is free for others; it may come back."""
    BACK = "back"


class Notice(NamedTuple):
    """Something that whoever reads the run's events wants to know."""

    worker: str
    change: Change
    why: str


@dataclass
class Member:
    """One worker, as far as its load is concerned."""

    seat: Seat
    lease_until_ns: int
    """It may load until then at the latest, if it does not hear from us."""
    revision: int = 0
    """Of its latest placement; 0 before the first."""
    placed: frozenset[int] = frozenset()
    """The latest placement."""
    acknowledged: int = 0
    closed_ns: int | None = None
    """When its connection was closed, if nothing was heard of it since."""
    return_ns: int = AFTER_CLOSE_NS
    """How long after that it may come back."""
    away: bool = False
    """It must have put everything down, and has said nothing since."""
    gone: bool = False
    """It is away because its connection was closed: its process has ended, as far as can be known."""
    leaving: bool = False
    """It ends in order and takes nothing more."""


class Membership:
    """All members of a run, and the pieces of its load."""

    def __init__(
        self, count: int, deal: Callable[[Sequence[Seat], Sequence[str | None]], list[str | None]]
    ) -> None:
        """`deal` says whose each of `count` pieces is to be when certain workers are there; see `Shares.deal`."""
        self.members: dict[str, Member] = {}
        self.begun = False
        """Pieces are placed from now on."""
        self.over = False
        """Nothing is placed any more: the plan is over, or the run is stopping."""
        self._deal = deal
        self._owners: list[str | None] = [None] * count
        """Who is to carry each piece."""
        self._holders: list[str | None] = [None] * count
        """Who may carry each piece: the one from whom it is taken, until that is certain."""
        self._stale = True
        """Who is there has changed since the last deal."""
        self._moving = True
        """Some placement may have to be sent."""
        self._renewing = False
        """Every placement has to be sent anew, though it gives the same pieces."""
        self._notices: list[Notice] = []
        self._revisions: dict[str, int] = {}
        """Worker that has finished -> above all that it was ever sent."""

    def join(self, seat: Seat, now_ns: int) -> None:
        """A worker process is let in; its forerunner of the same name, if any, must be `replaceable`."""
        assert self.replaceable(seat.worker)
        before = self.members.get(seat.worker)
        # Revisions go on, so that no word of the forerunner can be taken for one of this process.
        revision = self._revisions.pop(seat.worker, 0) if before is None else before.revision
        self.members[seat.worker] = Member(seat, now_ns + LEASE_NS, revision, acknowledged=revision)
        self._stale = True

    def adopt(self, seat: Seat, revision: int, pieces: Collection[int], now_ns: int) -> None:
        """After a restart of ours: this worker may carry these pieces, for all that is known, for one lease.

        `revision` is that of the latest placement it may have been sent. It is renewed no lease before it has been
        placed anew: what it follows may be older, and part of that another's by now.
        """
        member = Member(seat, now_ns + LEASE_NS, revision + 1, frozenset(pieces), acknowledged=revision)
        self.members[seat.worker] = member
        for piece in pieces:
            self._holders[piece] = seat.worker
            self._owners[piece] = seat.worker
        self._stale = True

    def replaceable(self, worker: str) -> bool:
        """Nobody of this name can be loading."""
        member = self.members.get(worker)
        return member is None or member.away

    def is_closed(self, worker: str) -> bool:
        """Its connection was closed, and nothing was heard of it since."""
        member = self.members.get(worker)
        return member is not None and member.closed_ns is not None

    def is_gone(self, worker: str) -> bool:
        """Its connection was closed, and it did not come back in time."""
        member = self.members.get(worker)
        return member is not None and member.gone

    def latest(self, worker: str) -> Placement | None:
        """What a worker was last told to carry; None before it was told anything."""
        member = self.members.get(worker)
        if member is None or not member.revision:
            return None
        return Placement(worker, member.revision, member.placed)

    def hear(self, worker: str, revision: int, now_ns: int) -> bool:
        """A worker asks for its lease and says which placement it follows; True if the lease is granted.

        It is not for who follows an old placement: what that gave it may be another's by now. Nor is such a one
        back, who may not hear us: being away has made what it followed old.
        """
        member = self.members.get(worker)
        if member is None:
            return False
        member.closed_ns = None
        if revision != member.revision:
            return False
        if member.away:
            member.away = member.gone = False
            self._stale = True
            self._notices.append(Notice(worker, Change.BACK, "heard again"))
        member.lease_until_ns = max(member.lease_until_ns, now_ns + LEASE_NS)
        if revision > member.acknowledged:
            member.acknowledged = revision
            self._put_down(worker, keep=member.placed)
        return True

    def close(self, worker: str, now_ns: int, round_trip_ns: int = 0) -> None:
        """The kernel of the worker's machine closed its connection, or something on the long way to it did.

        Until nobody who lives could be back over a link of this round trip, its load stays with it.
        """
        member = self.members.get(worker)
        if member is not None and member.closed_ns is None:
            member.closed_ns = now_ns
            member.return_ns = max(AFTER_CLOSE_NS, FIRST_PAUSE_NS + ROUND_TRIPS_BACK * round_trip_ns)

    def leave(self, worker: str) -> None:
        """A worker ends in order: it has put everything down, and finishes what it has begun."""
        member = self.members.get(worker)
        if member is not None and not member.leaving:
            member.leaving = True
            member.placed = frozenset()
            member.revision += 1
            self._put_down(worker)
            self._stale = True

    def renew(self) -> None:
        """What comes with a placement has changed: everybody is to follow a new one."""
        self._renewing = self._moving = True

    def finish(self, worker: str) -> None:
        """A worker's journal has its end, or its process was seen to be gone: it carries nothing."""
        if worker in self.members:
            self._put_down(worker)
            self._revisions[worker] = self.members.pop(worker).revision + 1
            self._stale = True

    def tick(self, now_ns: int) -> list[Placement]:
        """What time has brought about, and the placements that are to be sent now."""
        for worker, member in self.members.items():
            why = None if member.away else _freed(member, now_ns)
            if why is not None:
                member.away = True
                member.gone = member.closed_ns is not None
                member.closed_ns = None
                if member.placed or member.revision > member.acknowledged:
                    # What it may follow is no longer its own; who follows nothing need not be told so.
                    member.placed = frozenset()
                    member.revision += 1
                self._put_down(worker)
                self._notices.append(Notice(worker, Change.AWAY, why))
                self._stale = True
        if not self.begun or self.over or not (self._stale or self._moving):
            return []
        return list(self._placements())

    def notices(self) -> list[Notice]:
        """What happened since the last call."""
        told, self._notices = self._notices, []
        return told

    @property
    def present(self) -> list[Seat]:
        """Who may be given something to carry."""
        return [member.seat for member in self.members.values() if not member.away and not member.leaving]

    def _placements(self) -> Iterator[Placement]:
        present = self.present
        if self._stale and present:
            self._owners = self._deal(present, self._owners)
        renewing = self._renewing
        self._stale = self._moving = self._renewing = False
        wanted: dict[str, set[int]] = {seat.worker: set() for seat in present}
        for piece, (owner, holder) in enumerate(zip(self._owners, self._holders, strict=True)):
            if owner in wanted and holder in {None, owner}:
                wanted[owner].add(piece)
        for worker, pieces in wanted.items():
            member = self.members[worker]
            if pieces == member.placed and member.revision and not renewing:
                continue
            member.revision += 1
            member.placed = frozenset(pieces)
            for piece in pieces:
                self._holders[piece] = worker
            yield Placement(worker, member.revision, member.placed)

    def _put_down(self, worker: str, keep: frozenset[int] = frozenset()) -> None:
        for piece, holder in enumerate(self._holders):
            if holder == worker and piece not in keep:
                self._holders[piece] = None
                self._moving = True


def _freed(member: Member, now_ns: int) -> str | None:
    """Why a worker can carry nothing any more; None while it may."""
    if member.closed_ns is not None and now_ns >= member.closed_ns + member.return_ns:
        return "its connection was closed, and it did not come back"
    if now_ns >= member.lease_until_ns + AFTER_LAPSE_NS:
        return "its lease has lapsed"
    return None
