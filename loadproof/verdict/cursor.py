"""A cursor over the text of a rule: spaces and marks, names, numbers with their units, expressions in brackets."""

from __future__ import annotations

import re
from difflib import get_close_matches
from fractions import Fraction
from typing import TYPE_CHECKING, Final, NoReturn

from loadproof.errors import RuleSyntaxError
from loadproof.units import BYTE_UNITS, DURATION_UNITS
from loadproof.verdict.rule import Unit

if TYPE_CHECKING:
    from collections.abc import Iterable

_BRACKETS: Final = {"(": ")", "[": "]", "{": "}"}
_NUMBER: Final = r"-?(?:\d+(?:\.\d+)?|\.\d+)"
_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?|\.\d+)\s*(us|µs|ms|s|m|h|d)(?![A-Za-zµ])")
_WITH_UNIT: Final = re.compile(rf"({_NUMBER})(?:\s*(%|/s\b|(?:{'|'.join(BYTE_UNITS)})\b))?")


class Cursor:
    """Stands at `at` in `text`; RuleSyntaxError says at which column what was expected."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def space(self) -> None:
        while self.at < len(self.text) and self.text[self.at].isspace():
            self.at += 1

    def take(self, mark: str) -> bool:
        if not self.text.startswith(mark, self.at):
            return False
        self.at += len(mark)
        return True

    def expect(self, mark: str, wanted: str) -> None:
        if not self.take(mark):
            self.fail(f"expected {wanted}")

    def fail(self, message: str, at: int | None = None, hint: str | None = None) -> NoReturn:
        raise RuleSyntaxError(message, (self.at if at is None else at) + 1, hint)

    def name(self, ends: str) -> str:
        """A bare or quoted text; stands at one of `ends` or the end of the rule afterwards."""
        self.space()
        begin = self.at
        quote = self.text[begin : begin + 1]
        if quote and quote in "\"'":
            characters = []
            self.at += 1
            while not self.take(quote):
                if self.at >= len(self.text):
                    self.fail(f"the quote {quote} is never closed", begin)
                self.take("\\")
                characters.append(self.text[self.at : self.at + 1])
                self.at += 1
            found = "".join(characters)
        else:
            while self.at < len(self.text) and self.text[self.at] not in ends:
                self.at += 1
            found = self.text[begin : self.at].strip()
        if not found:
            self.fail("a name is missing here", begin)
        self.space()
        return found

    def number(self) -> tuple[Unit, Fraction | None]:
        """Any number with any unit, in base units."""
        total = Fraction(0)
        at = self.at
        while part := _DURATION.match(self.text, at):
            total += Fraction(part[1]) * DURATION_UNITS[part[2]]
            at = part.end()
            if not self.text[at : at + 1].isdigit():
                break
        if at == self.at:
            plain = _WITH_UNIT.match(self.text, at)
            if plain is None:
                return Unit.NUMBER, None
            at = plain.end()
            total = Fraction(plain[1])
            unit = {None: Unit.NUMBER, "%": Unit.RATIO, "/s": Unit.RATE}.get(plain[2], Unit.BYTES)
            if unit is Unit.RATIO:
                total /= 100
            elif unit is Unit.BYTES:
                total *= BYTE_UNITS[plain[2]]
        else:
            unit = Unit.DURATION
        rest = self.text[at : at + 2]
        if rest and rest != ".." and not rest[0].isspace() and rest[0] != ",":
            return unit, None
        self.at = at
        return unit, total

    def expression(self) -> str:
        """PromQL between brackets, as it is: where it ends is told by its own brackets and quotes."""
        self.space()
        self.expect("(", "an expression in brackets, as in promql(avg(up))")
        begin = self.at
        open_brackets: list[tuple[str, int]] = []
        while self.at < len(self.text):
            character = self.text[self.at]
            if character in "\"'`":
                self.skip_quoted(character)
                continue
            if character in _BRACKETS:
                open_brackets.append((_BRACKETS[character], self.at))
            elif character in _BRACKETS.values():
                if not open_brackets and character == ")":
                    break
                if not open_brackets or open_brackets[-1][0] != character:
                    self.fail(f"the bracket {character} closes none")
                open_brackets.pop()
            self.at += 1
        else:
            _, at = open_brackets[-1] if open_brackets else ("", begin - 1)
            self.fail(f"the bracket {self.text[at]} is never closed", at)
        found = self.text[begin : self.at].strip()
        if not found:
            self.fail("an expression is missing here", begin, "as in promql(avg(up))")
        self.at += 1
        return found

    def skip_quoted(self, quote: str) -> None:
        """Past a string of PromQL; between backticks a backslash is nothing special."""
        begin = self.at
        self.at += 1
        while not self.take(quote):
            if self.at >= len(self.text):
                self.fail(f"the quote {quote} is never closed", begin)
            self.at += 2 if self.text[self.at] == "\\" and quote != "`" else 1


def nearest(word: str, known: Iterable[str]) -> str:
    """A hint: the nearest of the known names, or all of them."""
    names = list(known)
    close = get_close_matches(word.lower(), names, n=1)
    return f"did you mean {close[0]}?" if close else f"there are {', '.join(names)}"
