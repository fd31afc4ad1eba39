"""The target of a simulated cluster: it answers, and remembers everything that it was asked."""

from dataclasses import dataclass
from math import ceil, inf
from typing import NamedTuple

TIMEOUT_US = 8_000_000
"""When a client gives up waiting."""


class Answer(NamedTuple):
    latency_us: int | None
    """None where there is none."""
    ok: bool = True
    """No error."""
    right: bool = True
    """What it says is what was asked for."""


@dataclass(frozen=True)
class Trouble:
    """While it lasts some of the answers are bad."""

    from_ns: int
    until_ns: int
    kind: str
    """`failed`, `wrong`, `slow` or `hanging`."""
    share: float
    worker: str | None = None
    """Whose requests alone it concerns."""


@dataclass(slots=True)
class Asked:
    """One request as the target saw it; `start_us` is the run time of its sender."""

    process: object
    phase: str
    start_us: int
    answer: Answer


class Target:
    def __init__(self, chance, troubles=()):
        self.chance = chance
        self.troubles = list(troubles)
        self.asked = []

    def ask(self, now_ns, process, phase, start_us):
        random = self.chance.random
        latency_us = 20_000 + int(100_000 * random() * random())
        answer = Answer(latency_us)
        for trouble in self.troubles:
            concerned = trouble.worker in {None, process.seat.worker}
            if trouble.from_ns <= now_ns < trouble.until_ns and concerned and random() < trouble.share:
                answer = _bad(trouble.kind, latency_us, random)
                break
        self.asked.append(Asked(process, phase, start_us, answer))
        return answer


def _bad(kind, latency_us, random):
    match kind:
        case "failed":
            return Answer(latency_us, ok=False)
        case "wrong":
            return Answer(latency_us, right=False)
        case "slow":
            return Answer(300_000 + int(2_000_000 * random()))
        case _:
            return Answer(None, ok=False)


class Truth:
    """What a run's rules are worth by the target's own memory; nothing of the code under test has a part in it."""

    def __init__(self, asked, phases, seconds):
        """Of the requests of these phases, which last so long."""
        judged = [one for one in asked if one.phase in phases]
        self.requests = len(judged)
        self.failed = sum(not one.answer.ok for one in judged)
        # Checks are judged in warm-up too.
        self.wrong = sum(one.answer.ok and not one.answer.right for one in asked)
        self.rate = (self.requests - self.failed) / seconds
        times = sorted(inf if one.answer.latency_us is None else one.answer.latency_us for one in judged)
        self.p95_us = times[ceil(0.95 * len(times)) - 1] if times else None
