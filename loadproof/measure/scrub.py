"""Takes secrets out of texts before anything writes them down."""

from __future__ import annotations

import base64
import json
import re
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, quote_plus

from loadproof.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

HIDDEN: Final = "***"
SHORTEST: Final = 6
"""A secret of fewer characters could be guessed from where it is missing, and would tear up innocent words."""
_HEAD: Final = 8
"""So much of a secret is enough to take it for one: texts are cut to a length, and may end inside it."""
_USER_INFO: Final = re.compile(r"(?<=://)[^\s/?#\"'<>]*@")


class Scrubber:
    """Replaces known values by `***`, however a URL, JSON or base64 spells them, and user and password in any URL."""

    def __init__(self, values: Iterable[str] = ()) -> None:
        forms = {form for value in values for form in _spellings(value)}
        self._forms = sorted(forms, key=len, reverse=True)

    def __call__(self, text: str) -> str:
        if "://" in text:
            text = _USER_INFO.sub(f"{HIDDEN}@", text)
        for form in self._forms:
            at = text.find(form[:_HEAD])
            while at >= 0:
                end = at + min(_HEAD, len(form))
                while end < len(text) and end - at < len(form) and text[end] == form[end - at]:
                    end += 1
                text = text[:at] + HIDDEN + text[end:]
                at = text.find(form[:_HEAD], at + len(HIDDEN))
        return text


def secrets_of(names: Iterable[str], environ: Mapping[str, str]) -> dict[str, str]:
    """The values of a plan's secrets; UsageError names what is not set here, or is too short to be kept secret."""
    found = {}
    for name in names:
        value = environ.get(name)
        if not value:
            raise UsageError(f"{name} is a secret of the plan and not set here: put it into the environment")
        if len(value) < SHORTEST:
            raise UsageError(f"{name} is a secret of the plan and has fewer than {SHORTEST} characters")
        found[name] = value
    return found


def _spellings(value: str) -> Iterator[str]:
    yield value
    yield quote(value, safe="")
    yield quote(value)
    yield quote_plus(value)
    yield json.dumps(value)[1:-1]
    yield json.dumps(value, ensure_ascii=False)[1:-1]
    yield repr(value)[1:-1]
    yield base64.b64encode(value.encode("utf-8", "surrogateescape")).decode().rstrip("=")
