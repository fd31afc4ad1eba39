"""events.jsonl and samples.jsonl: a line each record, read as far as they can be believed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

import msgspec

from analyzer.manifest import UNREADABLE
from analyzer.model import Event
from loadproof.verdict.facts import Sample, Unsampled

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


_Read = TypeVar("_Read", Sample, Unsampled)


class _SampleLine(msgspec.Struct):
    at_us: int
    name: str
    value: float | None
    why: str = "no reason is told"
    """Of a value that is not there."""


@dataclass
class Samples:
    """What was read during the run by name, in order of time."""

    values: dict[str, tuple[Sample, ...]] = field(default_factory=dict)
    unsampled: dict[str, tuple[Unsampled, ...]] = field(default_factory=dict)
    """When and why there was no value."""


def read_events(path: Path, notes: list[str]) -> Iterator[Event]:
    """Those that can be read; `notes` gets one sentence on the others once all were asked for."""
    bad: list[int] = []
    for number, line in _lines(path, "no event can be shown", notes):
        try:
            yield msgspec.json.decode(line, type=Event)
        except UNREADABLE:
            bad.append(number)
    if bad:
        count = f"{len(bad)} lines from line {bad[0]} on are" if len(bad) > 1 else f"line {bad[0]} is"
        left_out = "are left out" if len(bad) > 1 else "is left out"
        notes.append(f"events.jsonl: {count} cut or damaged and {left_out}")


def read_samples(path: Path, notes: list[str]) -> Samples:
    """All samples or none: with one unreadable, a highest value would be the highest of what is left."""
    values: dict[str, list[Sample]] = {}
    unsampled: dict[str, list[Unsampled]] = {}
    for number, line in _lines(path, "rules on resources have no data", notes):
        try:
            sample = msgspec.json.decode(line, type=_SampleLine)
        except UNREADABLE:
            notes.append(
                f"samples.jsonl: line {number} is cut or damaged; none of the samples is used, "
                "so that rules on resources have no data"
            )
            return Samples()
        if sample.value is None:
            unsampled.setdefault(sample.name, []).append(Unsampled(sample.at_us, sample.why))
        else:
            values.setdefault(sample.name, []).append(Sample(sample.at_us, sample.value))
    return Samples(_in_order(values), _in_order(unsampled))


def _in_order(found: dict[str, list[_Read]]) -> dict[str, tuple[_Read, ...]]:
    return {name: tuple(sorted(read, key=lambda one: one.at_us)) for name, read in sorted(found.items())}


def _lines(path: Path, lost: str, notes: list[str]) -> Iterator[tuple[int, bytes]]:
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    yield number, line
    except FileNotFoundError:
        notes.append(f"{path.name} is missing: {lost}")
    except OSError as error:
        notes.append(f"{path.name} cannot be read ({error.strerror}): {lost}")
