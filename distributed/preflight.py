"""Before the first user: does the target answer, is it healthy, is it the one that the suite was written for?"""

from __future__ import annotations

import datetime
import http.client
import json
import time
import urllib.error
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from distributed.target_service import get
from loadproof.errors import TargetError
from loadproof.units import format_duration

if TYPE_CHECKING:
    from collections.abc import Mapping

HEALTH: Final = "/gateway/health"
CLOCK_US: Final = 1_000_000
"""A difference of clocks beyond which times in the target's logs mislead."""


@dataclass(frozen=True)
class Health:
    """What the target said of itself; None where it does not say."""

    version: str | None = None
    clock_offset_us: int | None = None
    """Target's wall clock minus ours, to half the round trip."""
    notes: tuple[str, ...] = ()


def preflight(url: str, expected: Mapping[str, str]) -> Health:
    """Ask the target for its health; `expected` are fields that its answer must carry.

    A target without `/gateway/health` is only asked whether it answers HTTP. Raises TargetError, with what to
    do, for one that does not answer, is not healthy, or is not the expected one.
    """
    begin = time.monotonic_ns()
    try:
        answer = _health(url)
    except urllib.error.HTTPError as error:
        try:
            body = error.read(4_096).decode("utf-8", "replace")
        except (OSError, http.client.HTTPException):
            body = "(unreadable)"
        error.close()
        if error.code in {404, 405, 501}:
            return Health(notes=(f"the target has no {HEALTH}: only that it answers was checked",))
        raise TargetError(
            f"the target {url} is not fit to be loaded: GET {HEALTH} answered {error.code} {body[:300]}; "
            "see its log, and that its database is up"
        ) from error
    except (OSError, ValueError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)
        raise TargetError(
            f"the target {url} does not answer: {reason}; start it, or name another with --target"
        ) from error
    round_trip_us = (time.monotonic_ns() - begin) // 1_000
    if answer is None:
        return Health(
            notes=(f"GET {HEALTH} answered no JSON object: only that the target answers was checked",)
        )
    status = str(answer.get("status", "ok"))
    if status not in {"ok", "healthy", "up", "UP"}:
        raise TargetError(
            f"the target {url} says that it is {status!r}: {json.dumps(answer)[:300]}; see its log first"
        )
    for name, value in expected.items():
        if answer.get(name) != value:
            raise TargetError(
                f"the target {url} has {name} {answer.get(name)!r} and the suite expects {value!r}: every request "
                f"would be refused; set {name.upper()} alike for both, or name the right target with --target"
            )
    offset_us = _offset_us(answer.get("time"), round_trip_us)
    notes: tuple[str, ...] = ()
    if offset_us is not None and abs(offset_us) > CLOCK_US + round_trip_us:
        side = "ahead of" if offset_us > 0 else "behind"
        notes = (
            f"the target's clock is {format_duration(abs(offset_us))} {side} ours: times in its logs are off by that",
        )
    version = answer.get("version")
    return Health(None if version is None else str(version), offset_us, notes)


def _health(url: str) -> dict[str, Any] | None:
    try:
        answer = json.loads(get(f"{url}{HEALTH}"))
    except ValueError:
        return None
    return answer if isinstance(answer, dict) else None


def _offset_us(told: object, round_trip_us: int) -> int | None:
    """The target's time was read half a round trip ago."""
    try:
        then = datetime.datetime.fromisoformat(str(told))
    except ValueError:
        return None
    if then.tzinfo is None:
        return None
    ours = datetime.datetime.now(datetime.UTC) - datetime.timedelta(microseconds=round_trip_us / 2)
    return int((then - ours) / datetime.timedelta(microseconds=1))
