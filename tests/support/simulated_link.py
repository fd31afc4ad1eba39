"""TCP between a worker and the master as both see it: in order, late rather than lost, and now and then at an end.

A cut holds back what is under way. An end that hears nothing closes after some seconds, as ZeroMQ's heartbeats make
it; the other end learns of that as soon as anything gets through.
"""

from simulated_time import ns

UP = "up"
"""From a worker to the master."""
DOWN = "down"
WAYS = (UP, DOWN)
SILENCE_S = (5.0, 8.0)
"""After how long an end that hears nothing closes its connection."""
RESENT_S = (0.2, 0.9)
"""What the loss of a packet costs the stream."""


class Path:
    """The way between one worker's host and the master's."""

    def __init__(self, time, chance, *, one_way_s, jitter_s=0.0, loss=0.0):
        self.time = time
        self.chance = chance
        self.one_way_s = one_way_s
        self.jitter_s = jitter_s
        self.loss = loss
        self.cut_until_ns = dict.fromkeys(WAYS, 0)
        self.connection = None
        """The latest one."""

    def is_cut(self, way):
        return self.cut_until_ns[way] > self.time.now_ns

    def cut(self, seconds, ways=WAYS):
        """Nothing passes in these directions for so long."""
        for way in ways:
            until_ns = self.time.now_ns + ns(seconds)
            self.cut_until_ns[way] = max(self.cut_until_ns[way], until_ns)
            if self.connection is not None:
                self.time.after(self.chance.uniform(*SILENCE_S), self.connection.hear_nothing, way, until_ns)

    def delay_s(self):
        delay = self.one_way_s + self.chance.random() * self.jitter_s
        while self.chance.random() < self.loss:
            delay += self.chance.uniform(*RESENT_S)
        return delay

    def handshake_s(self):
        """TCP and CURVE: three round trips."""
        return 6 * self.delay_s()


class Connection:
    """One connection; each end may have closed it without the other knowing."""

    def __init__(self, path, worker_end, master_end):
        self.path = path
        self.time = path.time
        self.ends = {DOWN: worker_end, UP: master_end}
        """Way -> who is told what arrives by it, and `gone` when the connection has ended."""
        self.open = {DOWN: True, UP: True}
        """Way -> whether the end that it leads to is open."""
        self._latest_ns = dict.fromkeys(WAYS, 0)
        path.connection = self

    def send(self, way, what, *args):
        """What is sent into a cut arrives a while after it, if both ends are still open then."""
        other = UP if way == DOWN else DOWN
        if self.open[other]:
            self._under_way(way, self._arrive, what, args)

    def close(self, way, *, told=True):
        """The end that `way` leads to closes; the other end is told by the kernel, unless its machine is gone."""
        if not self.open[way]:
            return
        self.open[way] = False
        if told:
            other = UP if way == DOWN else DOWN
            self._under_way(other, self._end, (), ())

    def hear_nothing(self, way, until_ns):
        """The end that a cut way leads to has heard nothing for too long."""
        if self.open[way] and self.path.cut_until_ns[way] >= until_ns and self.path.is_cut(way):
            self.close(way)
            self.ends[way].gone(self)

    def reset(self):
        """Something between the two breaks the connection; both ends learn of it at once."""
        for way in WAYS:
            if self.open[way]:
                self.open[way] = False
                self.ends[way].gone(self)

    def _under_way(self, way, arrive, what, args):
        path = self.path
        due_ns = self.time.now_ns + ns(path.delay_s())
        if path.is_cut(way):
            held_s = (path.cut_until_ns[way] - self.time.now_ns) / 1e9
            due_ns = path.cut_until_ns[way] + ns(path.chance.uniform(0, min(held_s, 3)) + path.delay_s())
        self._latest_ns[way] = due_ns = max(due_ns, self._latest_ns[way])
        self.time.at(due_ns, arrive, way, what, args)

    def _arrive(self, way, what, args):
        if self.path.is_cut(way):
            self._under_way(way, self._arrive, what, args)
        elif self.open[way]:
            self.ends[way].receive(self, what, args)

    def _end(self, way, what, args):
        if self.path.is_cut(way):
            self._under_way(way, self._end, what, args)
        elif self.open[way]:
            self.open[way] = False
            self.ends[way].gone(self)
