"""How a fault showed in a run, and how the target got well after it: the definitions stand in docs/recovery.md."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from statistics import median
from typing import TYPE_CHECKING, Final

from loadproof.plan.model import ArrivalProcess
from loadproof.plan.profile import phase_at
from loadproof.units import format_duration, format_ratio
from loadproof.verdict.band import LEAST_S, MOST_S, Band, band_of, noise_us
from loadproof.verdict.evidence import SECOND_US
from loadproof.verdict.fault_windows import not_begun
from loadproof.verdict.pulse import Pulse, Second, summed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from loadproof.plan.model import Fault
    from loadproof.verdict.case import Case

HELD_S: Final = 5
"""Seconds in a row that must be as before: one or two good ones lie in many a long illness."""


@dataclass(frozen=True)
class Excess:
    """The worst of some differences from before."""

    value: float
    """0 if nothing was worse."""
    text: str
    """A clause on it."""


@dataclass(frozen=True)
class Recovery:
    """One fault, from before its begin until the next one or the run's end. Times are run time."""

    fault: str
    begin_us: int
    end_us: int | None
    """When its end was begun; None while the fault is on."""
    watched_until_us: int
    """The next fault's begin, or as far as the run is known."""
    next_fault: str | None
    """That which ends the watch."""
    band: Band | None
    nothing: str | None = None
    """Why there is no band, in a clause."""
    detected_us: int | None = None
    """Begin of the first second that is not as before, not before the fault's."""
    detected_by: str | None = None
    ill_before: str | None = None
    """What was not as before in the second before the fault already; None if nothing was."""
    mixed_with: str | None = None
    """Another fault that may be what shows: one that was on when it began, or had not been recovered from, or one
    that began before it showed."""
    recovered_us: int | None = None
    """Begin of the first `HELD_S` seconds in a row that are as before, not before the fault's end."""
    back_us: int | None = None
    """Begin of the seconds as before that last until the watch's end, too few to say that it has recovered."""
    overshoot: Excess | None = None
    residue: Excess | None = None
    load_after: float | None = None
    """Of the seconds that show its recovery, or of the last of the watch."""
    pulse: Pulse | None = field(default=None, repr=False, compare=False)
    """The seconds of the run that all this was read from."""

    @property
    def watched_s(self) -> int:
        """Full seconds after its end."""
        if self.end_us is None:
            return 0
        return max(0, self.watched_until_us // SECOND_US - -(-self.end_us // SECOND_US))

    @property
    def recovered(self) -> bool | None:
        """None where nothing to compare with, or too little time after it, leaves that open."""
        if self.recovered_us is not None:
            return True
        return None if self.band is None or self.watched_s < HELD_S else False

    @property
    def detection_us(self) -> int | None:
        return None if self.detected_us is None else self.detected_us - self.begin_us

    @property
    def recovery_us(self) -> int | None:
        if self.recovered_us is None or self.end_us is None:
            return None
        return self.recovered_us - self.end_us


def recoveries(case: Case) -> dict[str, Recovery]:
    """Every fault of the plan that was begun, in the order of their begins."""
    faults = sorted(
        (fault for fault in case.plan.faults if not_begun(fault, case) is None), key=lambda one: one.at_us
    )
    found = case.known_recoveries
    if faults and not found:
        pulse = Pulse(case)
        for fault in faults:
            found[fault.name] = replace(_recovery(fault, faults, case, pulse, found), pulse=pulse)
    return found


def first_out(band: Band, seconds: Sequence[Second], first: int) -> int | None:
    """The index of the first that is not as before; the indexes begin with `first`.

    One without load shows nothing of the target: the plan made it so.
    """
    return next(
        (first + at for at, told in enumerate(seconds) if told.load > 0 and band.why_out(told) is not None),
        None,
    )


def first_held(
    band: Band, seconds: Sequence[Second], first: int, held: int = HELD_S, *, whole: int = 0
) -> int | None:
    """The index of the first of `held` in a row that are as before, each by itself and all together.

    Before the index `whole` the keeper was still at work: what falls ill again until then had not recovered.
    """
    well = [band.why_out(told) is None for told in seconds]
    ill = [at for at, is_well in enumerate(well[: max(0, whole - first)]) if not is_well]
    for at in range(ill[-1] + 1 if ill else 0, len(seconds) - held + 1):
        together = summed(seconds[at : at + held])
        if all(well[at : at + held]) and band.why_out(together, held) is None:
            return first + at
    return None


def last_streak(band: Band, seconds: Sequence[Second], first: int) -> int | None:
    """The index from which all are as before; None if the last is not."""
    at = len(seconds)
    while at and band.why_out(seconds[at - 1]) is None:
        at -= 1
    return first + at if at < len(seconds) else None


def overshoot(band: Band, seconds: Sequence[Second], first: int) -> Excess | None:
    """The highest latency and the most requests begun for the load, over what they were; None if none was ok."""
    worst = Excess(0.0, "neither load nor latency went beyond what it was before")
    if not any(told.timed for told in seconds):
        # Who was never answered had no latency, and was not quick; what had begun in the fault tells nothing of after.
        return None
    for second, told in enumerate(seconds, first):
        if told.timed and band.latency_us.value:
            mean_us = told.timed_us / told.timed
            over = mean_us / band.latency_us.value - 1
            if over > worst.value and mean_us > band.latency_us.value + noise_us(told):
                worst = Excess(over, f"latency was {format_duration(round(mean_us))} in second {second}")
        if told.load > 0 and band.started:
            over = told.started / told.load / band.started - 1
            if over > worst.value:
                worst = Excess(over, f"{told.started} requests were begun in second {second}")
    return worst


def residue(band: Band, seconds: Sequence[Second]) -> Excess | None:
    """What is worse of these seconds, as a whole, than it was before; None without any that tells."""
    loaded = [told for told in seconds if told.load > 0]
    if not loaded:
        return None
    worst = Excess(0.0, "nothing was worse than before")
    ok = median(told.ok / told.load for told in loaded)
    fewer = 1 - ok / band.ok.value
    if fewer > worst.value:
        worst = Excess(fewer, f"{format_ratio(fewer)} fewer requests were ok than before")
    timed = [told.timed_us / told.timed for told in loaded if told.timed]
    if timed and band.latency_us.value:
        slower = median(timed) / band.latency_us.value - 1
        noise = median(noise_us(told) for told in loaded)
        if slower > worst.value and median(timed) > band.latency_us.value + noise:
            worst = Excess(slower, f"latency was {format_duration(round(median(timed)))}")
    together = summed(loaded)
    if together.timed + together.bad:
        more = together.bad / (together.timed + together.bad) - band.error_ratio
        if more > worst.value:
            worst = Excess(more, f"{format_ratio(more)} more of all requests were errors")
    return worst


def _recovery(
    fault: Fault, faults: Sequence[Fault], case: Case, pulse: Pulse, known: dict[str, Recovery]
) -> Recovery:
    begin_us, end_us = _times(fault, case)
    over_us = fault.until_us if end_us is None else end_us
    following = sorted(
        (max(_times(other, case)[0], begin_us), other.name)
        for other in faults
        if other.name != fault.name and _ends_us(other, case) > over_us
    )
    until_us, next_fault = case.timeline.end_us, None
    if following and following[0][0] < until_us:
        until_us, next_fault = following[0]
    until_us = max(until_us, over_us) if end_us is not None else case.timeline.end_us
    band = _band(begin_us, case, pulse, known)
    if isinstance(band, str):
        return Recovery(fault.name, begin_us, end_us, until_us, next_fault, None, band)
    stop = until_us // SECOND_US
    first = begin_us // SECOND_US
    mixed_with = next((name for name, other in known.items() if _touches(other, first)), None)
    # Of two that the plan begins at one instant either may be the first by some microseconds.
    later = [other for other in faults if other.name != fault.name and other.name not in known]
    joining = min(((max(begin_us, _times(other, case)[0]), other.name) for other in later), default=None)
    if joining is not None:
        stop = min(stop, joining[0] // SECOND_US)
    seconds = pulse.seconds(first, stop if end_us is None else min(stop, -(-end_us // SECOND_US)))
    if end_us is not None:
        seconds = [*seconds, *pulse.seconds(-(-end_us // SECOND_US), stop, fault.name)]
    detected = first_out(band, seconds, first)
    if detected is None and joining is not None and (end_us is None or joining[0] < end_us):
        mixed_with = mixed_with or joining[1]
    told = Recovery(
        fault.name,
        begin_us,
        end_us,
        until_us,
        next_fault,
        band,
        detected_us=None if detected is None else max(begin_us, detected * SECOND_US),
        detected_by=None if detected is None else band.why_out(seconds[detected - first]),
        ill_before=_ill(band, pulse.seconds(first - 1, first)),
        mixed_with=mixed_with,
    )
    if end_us is None:
        return told
    times = case.facts.fault_times.get(fault.name)
    whole_us = end_us if times is None or times.ended_us is None else times.ended_us
    return _after(told, band, end_us, whole_us, until_us // SECOND_US, pulse)


def _ill(band: Band, seconds: Sequence[Second]) -> str | None:
    return next((band.why_out(told) for told in seconds if told.load > 0), None)


def _after(told: Recovery, band: Band, end_us: int, whole_us: int, stop: int, pulse: Pulse) -> Recovery:
    first = end_us // SECOND_US
    seconds = pulse.seconds(first, stop, told.fault)
    recovered = first_held(band, seconds, first, whole=-(-whole_us // SECOND_US))
    full = -(-end_us // SECOND_US)
    if recovered is None:
        back = last_streak(band, seconds, first)
        ill = pulse.seconds(full, stop, told.fault)
        last = ill[-MOST_S:]
    else:
        back = None
        ill = pulse.seconds(full, min(stop, recovered + HELD_S), told.fault)
        last = pulse.seconds(recovered, min(stop, recovered + MOST_S), told.fault)
    return replace(
        told,
        recovered_us=None if recovered is None else max(end_us, recovered * SECOND_US),
        back_us=None if back is None else max(end_us, back * SECOND_US),
        overshoot=overshoot(band, ill, full),
        residue=residue(band, last),
        load_after=median(second.load for second in last) if last else None,
    )


def _band(begin_us: int, case: Case, pulse: Pulse, known: dict[str, Recovery]) -> Band | str:
    """Of the last seconds before a fault that no other one touched: those of its own phase, if they are enough."""
    own = phase_at(case.plan.load, begin_us)
    of_phase: list[Second] = []
    of_any: list[Second] = []
    for second in range(begin_us // SECOND_US - 1, -1, -1):
        phase = phase_at(case.plan.load, second * SECOND_US)
        if len(of_phase) == MOST_S or (phase != own and len(of_any) >= MOST_S):
            break
        if phase is None or phase.warmup or any(_touches(other, second) for other in known.values()):
            continue
        told = [one for one in pulse.seconds(second, second + 1) if one.load > 0]
        of_any += told
        if phase == own:
            of_phase += told
    is_random = case.plan.open and case.plan.arrival_process is ArrivalProcess.POISSON
    return band_of(of_phase if len(of_phase) >= LEAST_S else of_any[:MOST_S], is_random=is_random)


def _touches(other: Recovery, second: int) -> bool:
    """Whether a second may tell of another fault: from its begin until the target had recovered from it."""
    if (second + 1) * SECOND_US <= other.begin_us:
        return False
    if other.end_us is None:
        return True
    if other.band is None:
        # Nobody knows how long it took to get well.
        return second * SECOND_US < other.end_us
    return other.recovered_us is None or second * SECOND_US < other.recovered_us


def _times(fault: Fault, case: Case) -> tuple[int, int | None]:
    """(begin, end); the end is when it was begun to be made whole, by the plan, unless that was earlier."""
    times = case.facts.fault_times.get(fault.name)
    begin_us = fault.at_us if times is None else times.begun_us
    ended_us = None if times is None else times.ended_us
    end_us = fault.until_us if ended_us is None else min(fault.until_us, ended_us)
    return begin_us, end_us if end_us <= case.timeline.end_us else None


def _ends_us(fault: Fault, case: Case) -> int:
    end_us = _times(fault, case)[1]
    return fault.until_us if end_us is None else end_us
