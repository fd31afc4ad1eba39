"""What a comparison says: plain data that every renderer and exit code reads."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Word(StrEnum):
    """How a run lies to its baselines."""

    SAME = "same"
    """No difference beyond the noise is shown, and one of twice the noise is excluded."""
    BETTER = "better"
    WORSE = "worse"
    CANNOT_TELL = "cannot tell"


@dataclass(frozen=True)
class Compared:
    """One statistic of the run beside that of its baselines, both in `unit`: `us`, `ratio` or `per_s`.

    A change is relative, 0.1 for 10 % more; that of a `ratio` is absolute, 0.1 for ten points more.
    """

    what: str
    """A rule as the grammar writes it, or a statistic: `p50`, `p95`, `p99`, `error_ratio`."""
    unit: str
    value: float | None
    baseline: float | None
    """Of several baselines the mean; the geometric one, but for ratios."""
    change: float | None
    interval: tuple[float, float] | None
    """The 95 % interval of the change, from how seconds differ within each run."""
    noise: float
    """How far runs of one build lie apart: a change up to it is none."""
    p: float | None
    """How likely a change so far beyond the noise is by chance, adjusted for all that the comparison looks at."""
    word: Word
    reason: str
    """One sentence, also for `same`."""


@dataclass(frozen=True)
class ComparedEndpoint:
    """The ok requests of one endpoint, `POST /policies/:id`, in the judged phases, and its error ratio."""

    name: str
    requests: int | None
    """Of the run; None where it has none."""
    word: Word
    rows: tuple[Compared, ...]


@dataclass(frozen=True)
class Comparison:
    """A run beside one or several baselines."""

    baselines: tuple[str, ...]
    """The ids of their runs."""
    word: Word
    text: str
    """The word in a sentence, with what is worse by name."""
    rules: tuple[Compared, ...]
    endpoints: tuple[ComparedEndpoint, ...]
    """The worst first, then those with the most requests."""
    unlike: tuple[str, ...] = ()
    """In what the runs differ beside the build, each in a sentence; without leave the word is then `cannot tell`
    and there is nothing else."""
    notes: tuple[str, ...] = ()
    tests: int = 0
    """How many differences were tested; all `worse` and `better` together are false once in twenty comparisons."""
