"""A locustfile's LoadTestShape as stretches of load: its `tick` is asked for every second before the run."""

from __future__ import annotations

import itertools
from types import SimpleNamespace
from typing import Any, Final, NamedTuple

from loadproof.errors import UsageError

LONGEST_S: Final = 24 * 3600
MOST_STRETCHES: Final = 60
"""A curve of more straight parts is followed as closely as so many allow."""
_ROUNDING: Final = 1e-9


class Stretch(NamedTuple):
    """Users on a straight line, as a phase of a plan."""

    seconds: int
    users_from: int
    users_to: int


def stretches(shape: Any, options: Any, shorten_to: int | None = None) -> tuple[Stretch, ...]:
    """The load that a shape asks for, from 0 until its `tick` gives None.

    Users come and go on a straight line at the tick's spawn rate, and at once where that takes less than a second.
    With `shorten_to` the whole curve is played in so many seconds, if it lasts longer. `options` are what a shape
    with `use_common_options` finds as its runner's parsed options. Raises UsageError for a shape that fails, never
    ends, asks for no users, or changes the user classes.
    """
    seconds = _seconds(shape, options)
    if not any(users for second in seconds for users in second):
        raise UsageError(
            f"the load shape {type(shape).__name__} asks for no users: its first tick gives None or 0"
        )
    if shorten_to is not None and 0 < shorten_to < len(seconds):
        cuts = [second * len(seconds) // shorten_to for second in range(shorten_to + 1)]
        seconds = [(seconds[first][0], seconds[end - 1][1]) for first, end in itertools.pairwise(cuts)]
    tolerance = 0
    while len(found := _straightened(seconds, tolerance)) > MOST_STRETCHES:
        tolerance = max(1, 2 * tolerance)
    return tuple(found)


def _seconds(shape: Any, options: Any) -> list[tuple[float, float]]:
    """Users at the begin and at the end of each second."""
    name = f"the load shape {type(shape).__name__}"
    now = began = 0
    users = 0.0

    def reset_time() -> None:
        nonlocal began
        began = now

    shape.reset_time = reset_time
    shape.get_run_time = lambda: float(now - began)
    shape.get_current_user_count = lambda: round(users)
    shape.runner = SimpleNamespace(environment=SimpleNamespace(parsed_options=options), user_count=0)
    seconds: list[tuple[float, float]] = []
    while now < LONGEST_S:
        shape.runner.user_count = round(users)
        try:
            tick = shape.tick()
            if tick is None:
                return seconds
            wanted, rate = round(tick[0]), float(tick[1])
        except Exception as error:
            raise UsageError(f"{name} fails at second {now}: {type(error).__name__}: {error}") from error
        if len(tick) > 2 and tick[2] is not None:
            raise UsageError(
                f"{name} changes the user classes at second {now}, which a plan cannot: leave them out of its "
                "tick, or write a plan for each part"
            )
        gap = wanted - users
        before = wanted if abs(gap) < rate else users
        users += max(-rate, min(rate, gap))
        seconds.append((before, users))
        now += 1
    raise UsageError(f"{name} still asks for users after 24 h: let its tick give None, as where a test ends")


def _straightened(seconds: list[tuple[float, float]], tolerance: float) -> list[Stretch]:
    """Fewest lines, each begun at a value of its own, that pass all values within `tolerance` users.

    A line is drawn on while the cone of slopes that fit is open (J. Sklansky and V. Gonzalez, Fast polygonal
    approximation of digitized curves, Pattern Recognition 12, 1980).
    """
    found: list[Stretch] = []
    begin = 0
    while begin < len(seconds):
        start = seconds[begin][0]
        low, high = float("-inf"), float("inf")
        end = begin
        for index in range(begin, len(seconds)):
            slack = tolerance + _ROUNDING
            for length, users in ((index - begin, seconds[index][0]), (index - begin + 1, seconds[index][1])):
                if length == 0:
                    continue
                low = max(low, (users - slack - start) / length)
                high = min(high, (users + slack - start) / length)
            if not low <= (seconds[index][1] - start) / (index - begin + 1) <= high:
                break
            end = index
        found.append(Stretch(end - begin + 1, round(start), round(seconds[end][1])))
        begin = end + 1
    return found
