"""Workers and links around the membership machine: everything late, lost, repeated and out of order, in made-up time."""

import heapq
from dataclasses import dataclass, field
from itertools import count
from random import Random

from judging import phase, plan_of

from distributed.lease import Lease
from distributed.membership import AFTER_LAPSE_NS, Membership
from distributed.placement import Seat, seats
from distributed.shares import Shares
from loadproof.plan.model import Region

SECOND_NS = 1_000_000_000
RATE_ERROR = 200e-6
WEIGHTS = {"A": 25.0, "B": 30.0, "C": 20.0, "D": 15.0, "E": 10.0}


def plan_for(users, *regions, weights=None):
    """A closed plan of one phase over these regions."""
    return plan_of(load=(phase(users=users),), regions=regions, scenarios=weights or WEIGHTS)


def shares_of(plan, weights=None):
    return Shares(plan, weights or WEIGHTS, {})


def machine(plan, *, weights=None, begun=True, joined=None):
    """A membership with all planned workers, or those named, in at 0."""
    shares = shares_of(plan, weights)
    membership = Membership(len(shares.pieces), shares.deal)
    for seat in seats(plan.regions):
        if joined is None or seat.worker in joined:
            membership.join(seat, 0)
    membership.begun = begun
    return membership


@dataclass(eq=False)
class Life:
    """One process of a worker: what it may load is `carried`, while `lease` and `dead` let it."""

    seat: Seat
    rate: float
    born_ns: int
    lease: Lease = field(default_factory=Lease)
    carried: frozenset = frozenset()
    dead: bool = False
    leaving: bool = False

    def clock_ns(self, now_ns):
        """Its boot clock, which nobody set and which runs at its own rate."""
        return 7 * SECOND_NS + round((now_ns - self.born_ns) * self.rate)

    def loads(self, now_ns):
        if self.dead or self.leaving or self.lease.left_ns(self.clock_ns(now_ns)) <= 0:
            return frozenset()
        return self.carried


class Schedule:
    """A master and its workers under random trouble; `check` after every event that no piece is carried twice.

    The truth is what each worker's own lease and placement let it load, never what the machine believes.
    """

    def __init__(self, seed, plan, *, trouble, longest_s=4.0):
        self.chance = Random(seed)
        self.plan = plan
        self.trouble = trouble
        self.longest_s = longest_s
        self.shares = shares_of(plan)
        self.now_ns = 0
        self.events = []
        self.order = count()
        self.cut = {}
        """Worker -> until when nothing of it or for it arrives."""
        self.master = Membership(len(self.shares.pieces), self.shares.deal)
        self.master_down = False
        self.log = []
        """Every placement sent, written down before: (worker, revision, pieces)."""
        self.lives = {}
        """Worker -> its latest process."""
        self.all_lives = []
        self.most_carried = 0
        for seat in seats(plan.regions):
            self.start(seat)
        self.master.begun = True

    def at(self, delay_s, what, *args):
        heapq.heappush(self.events, (self.now_ns + round(delay_s * SECOND_NS), next(self.order), what, args))

    def run(self, until_s):
        while self.events and self.events[0][0] <= until_s * SECOND_NS:
            self.now_ns, _, what, args = heapq.heappop(self.events)
            what(*args)
            self.tick()
            self.check()
        self.now_ns = round(until_s * SECOND_NS)

    def check(self):
        carried = [life.loads(self.now_ns) for life in self.all_lives if not life.dead]
        together = sum(map(len, carried))
        assert together == len(frozenset().union(*carried)), "a piece is carried twice"
        self.most_carried = max(self.most_carried, together)

    def carried_by(self):
        """Worker -> what it loads now."""
        return {worker: life.loads(self.now_ns) for worker, life in self.lives.items()}

    def start(self, seat):
        """A process for this seat, if its forerunner is gone for all that the master knows."""
        life = Life(seat, 1 + self.chance.uniform(-RATE_ERROR, RATE_ERROR), self.now_ns)
        self.master.join(seat, self.now_ns)
        self.lives[seat.worker] = life
        self.all_lives.append(life)
        self.at(self.chance.random(), self.pulse, life)

    def send(self, life, what, *args):
        """A message that is lost, doubled, or late by up to seconds, to or from this process."""
        copies = self.chance.choices((0, 1, 2), (self.trouble, 1, self.trouble))[0]
        if self.cut.get(life.seat.worker, 0) > self.now_ns:
            copies = 0
        for _ in range(copies):
            late = self.chance.random() < self.trouble
            self.at(self.chance.uniform(0, self.longest_s if late else 0.3), what, life, *args)

    def pulse(self, life):
        if not life.dead:
            self.beat(life)
            self.at(1.0, self.pulse, life)

    def beat(self, life):
        if life.leaving:
            self.send(life, self.hear_leaving)
        self.send(life, self.hear, life.clock_ns(self.now_ns), life.lease.revision)

    # On the master. Words of a process that was replaced arrive by a connection that is no longer its worker's.

    def hear(self, life, asked_ns, revision):
        worker = life.seat.worker
        if self.master_down or self.lives[worker] is not life or worker not in self.master.members:
            return
        if self.master.hear(worker, revision, self.now_ns):
            self.send(life, self.renew, asked_ns, revision)
        elif revision < self.master.members[worker].revision:
            self.place(worker)

    def hear_leaving(self, life):
        if not self.master_down and self.lives[life.seat.worker] is life:
            self.master.leave(life.seat.worker)

    def tick(self):
        if not self.master_down:
            for placement in self.master.tick(self.now_ns):
                self.place(placement.worker)

    def place(self, worker):
        member = self.master.members[worker]
        self.log.append((worker, member.revision, member.placed))
        self.send(self.lives[worker], self.follow, member.revision, member.placed)

    # On a worker.

    def renew(self, life, asked_ns, revision):
        life.lease.renew(asked_ns, revision)

    def follow(self, life, revision, pieces):
        if life.dead or life.leaving or not life.lease.follow(revision):
            return
        life.carried = pieces
        self.beat(life)

    # What befalls them.

    def kill(self, worker, *, closes):
        life = self.lives[worker]
        life.dead = True
        if closes and not self.master_down:
            self.at(self.chance.random(), self.close, life)

    def close(self, life):
        if not self.master_down and self.lives[life.seat.worker] is life:
            self.master.close(life.seat.worker, self.now_ns)

    def replace(self, worker):
        life = self.lives[worker]
        if life.dead and not self.master_down and self.master.replaceable(worker):
            self.start(life.seat)

    def leave(self, worker, drain_s):
        """SIGTERM: it puts all down at once, and its journal's end arrives later."""
        life = self.lives[worker]
        if not life.dead and not life.leaving:
            life.leaving = True
            self.beat(life)
            self.at(drain_s, self.finish, life)

    def finish(self, life):
        worker = life.seat.worker
        if self.master_down:
            self.at(1.0, self.finish, life)
        elif self.lives[worker] is life:
            life.dead = True
            self.master.finish(worker)

    def kill_master(self):
        self.master_down = True

    def restart_master(self):
        """A new machine that knows what the dead one wrote before it sent it."""
        holder, revisions = {}, {}
        for worker, revision, pieces in self.log:
            revisions[worker] = max(revision, revisions.get(worker, 0))
            holder.update(dict.fromkeys(pieces, worker))
        self.master = Membership(len(self.shares.pieces), self.shares.deal)
        self.master_down = False
        for worker, life in self.lives.items():
            pieces = {piece for piece, owner in holder.items() if owner == worker}
            if worker in revisions or not life.dead:
                self.master.adopt(life.seat, revisions.get(worker, 0), pieces, self.now_ns)
        self.master.begun = True


def settle_s():
    """How long until all that can be known of the dead is known, with room for a few messages."""
    return 15 + AFTER_LAPSE_NS / SECOND_NS + 12


def regions_of(*shapes):
    """Regions r0, r1, ... of (workers, weight, max_users)."""
    return tuple(
        Region(name=f"r{number}", workers=workers, weight=weight, max_users=most)
        for number, (workers, weight, most) in enumerate(shapes)
    )
