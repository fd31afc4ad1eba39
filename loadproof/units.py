"""Numbers with units: read into base integers (microseconds, bytes), written for people.

Inside, a duration is an integer of microseconds and a size an integer of bytes. Only readers of plans and
rules call `parse_*`, only renderers call `format_*`. An absent value (None) is written as a dash, never as 0.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Final

from loadproof.errors import UnitError

ABSENT: Final = "–"  # noqa: RUF001 an en dash on purpose: a hyphen reads as a minus sign

DURATION_UNITS: Final = {
    "us": 1,
    "µs": 1,
    "ms": 1_000,
    "s": 1_000_000,
    "m": 60_000_000,
    "h": 3_600_000_000,
    "d": 86_400_000_000,
}
BYTE_UNITS: Final = {
    "B": 1,
    "kB": 10**3,
    "KB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "TB": 10**12,
    "KiB": 2**10,
    "MiB": 2**20,
    "GiB": 2**30,
}
_NUMBER = r"(?:\d+(?:\.\d+)?|\.\d+)"
_DURATION_PART = re.compile(rf"({_NUMBER})\s*(us|µs|ms|s|m|h|d)")
_BYTES = re.compile(rf"({_NUMBER})\s*({'|'.join(BYTE_UNITS)})")


def parse_duration(text: str) -> int:
    """`2m`, `1h30m`, `250ms`, `1.5s` as microseconds; a number without a unit is refused."""
    stripped = text.strip()
    total = Decimal(0)
    at = 0
    while at < len(stripped):
        part = _DURATION_PART.match(stripped, at)
        if part is None:
            raise UnitError(
                f"{text!r} is not a duration: write a number and a unit, such as 250ms, 30s, 2m or 1h30m"
            )
        total += Decimal(part[1]) * DURATION_UNITS[part[2]]
        at = part.end()
    if not stripped:
        raise UnitError("a duration is missing: write a number and a unit, such as 30s")
    if total >= 315_360_000_000_000_000:
        raise UnitError(f"{text!r} is too long: at most 10,000 years")
    return int(total)


def parse_bytes(text: str) -> int:
    """`2GB`, `512MiB` as bytes."""
    match = _BYTES.fullmatch(text.strip())
    if match is None:
        raise UnitError(f"{text!r} is not a size: write a number and a unit, such as 512MB or 2GiB")
    return int(Decimal(match[1]) * BYTE_UNITS[match[2]])


def format_duration(microseconds: float | None) -> str:
    """A duration with three significant digits and the largest unit that keeps it at least 1."""
    if microseconds is None:
        return ABSENT
    magnitude = abs(microseconds)
    if magnitude < 999.5:
        return f"{microseconds:.0f} µs"
    # What three digits would round up to the next unit is written in that unit.
    if magnitude < 999_500:
        return f"{_three(microseconds / 1_000)} ms"
    if magnitude < 120_000_000:
        return f"{_three(microseconds / 1_000_000)} s"
    if magnitude < 7_200_000_000:
        return f"{_three(microseconds / 60_000_000)} min"
    return f"{_three(microseconds / 3_600_000_000)} h"


def duration_text(microseconds: int) -> str:
    """The exact text that `parse_duration` reads back to the same integer: `1h30m`, `250ms`, `0s`."""
    if microseconds == 0:
        return "0s"
    parts = []
    rest = microseconds
    for unit in ("h", "m", "s", "ms", "us"):
        whole, rest = divmod(rest, DURATION_UNITS[unit])
        if whole:
            parts.append(f"{whole}{unit}")
    return "".join(parts)


def format_bytes(size: float | None) -> str:
    if size is None:
        return ABSENT
    value = float(size)
    for unit in ("B", "kB", "MB", "GB"):
        if abs(value) < 1_000:
            return f"{_three(value)} {unit}" if unit != "B" else f"{value:.0f} B"
        value /= 1_000
    return f"{_three(value)} TB"


def format_ratio(ratio: float | None) -> str:
    """0.0123 as `1.23 %`; a ratio that is not exactly 0 or 1 never reads as 0 % or 100 %."""
    if ratio is None:
        return ABSENT
    percent = ratio * 100
    text = f"{percent:.2f}".rstrip("0").rstrip(".")
    if text == "100" and ratio != 1:
        return "> 100 %" if ratio > 1 else "> 99.99 %"
    if text in {"0", "-0"} and ratio != 0:
        return "< 0.01 %"
    return f"{text} %"


def format_rate(per_second: float | None) -> str:
    return ABSENT if per_second is None else f"{format_count(per_second)}/s"


def format_count(number: float | None) -> str:
    """Integers with thousands separated by commas; other numbers with at most two decimals."""
    if number is None:
        return ABSENT
    if float(number).is_integer():
        return f"{int(number):,}"
    return f"{number:,.2f}".rstrip("0").rstrip(".")


def _three(value: float) -> str:
    """Three significant digits, more where the whole part is longer, without trailing zeros."""
    digits = 2 if abs(value) < 10 else 1 if abs(value) < 100 else 0
    text = f"{value:,.{digits}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
