"""What the judge says: plain data that every renderer and exit code reads."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """How a run ends."""

    PASS = "PASS"  # noqa: S105 a verdict, not a password
    WARN = "WARN"
    FAIL = "FAIL"
    INVALID = "INVALID"


class RuleVerdict(StrEnum):
    """How a rule ends."""

    PASS = "PASS"  # noqa: S105 a verdict, not a password
    WARN = "WARN"
    FAIL = "FAIL"
    NO_DATA = "NO_DATA"


@dataclass(frozen=True)
class Reason:
    """One sentence of why a run is not PASS."""

    verdict: Verdict
    """What this reason alone would make of the run: WARN, FAIL or INVALID."""
    code: str
    """A stable word for machines: `rule`, `torn_epoch`, `load_not_offered`, `region_missing`, ..."""
    text: str


@dataclass(frozen=True)
class RuleResult:
    """One rule judged. Values are in the rule's base unit: microseconds, ratio, per second, bytes, or a number."""

    rule: str
    """The rule as printed by the grammar."""
    statistic: str
    selector: dict[str, str]
    unit: str
    """`us`, `ratio`, `per_s`, `bytes`, `count`."""
    value: float | None
    operator: str
    limit: float | tuple[float, float] | None
    """None where it is said by a baseline that is not known."""
    goal: str | None
    margin: float | None
    """How far the value is inside its limit, as a share of the limit; negative when broken."""
    samples: int | None
    confidence: tuple[float, float] | None
    """The 95 % interval of the value."""
    verdict: RuleVerdict
    reason: str
    """One sentence, also for PASS."""
    optional: bool = False
    implied: bool = False
    abort: bool = False
    """Ends the run as soon as it is broken, and judges warm-up too."""
    per: str | None = None
    """What value, limit and interval are for: `hour` or `1000 requests` of growth, None for all else."""


@dataclass(frozen=True)
class Judgement:
    verdict: Verdict
    reasons: tuple[Reason, ...]
    rules: tuple[RuleResult, ...]
