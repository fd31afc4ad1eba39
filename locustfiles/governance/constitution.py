"""The constitutional hash that every governance request names and every answer must carry."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

HEADER: Final = "X-Constitutional-Hash"
CONSTITUTIONAL_HASH: Final = os.environ.get("CONSTITUTIONAL_HASH") or "cdd01ef066bc6cf2"
HEADERS: Final = {HEADER: CONSTITUTIONAL_HASH}
HEALTH: Final = {"constitutional_hash": CONSTITUTIONAL_HASH}
"""What the target must say of itself before the first user."""


class Answer(Protocol):
    @property
    def headers(self) -> Mapping[str, str] | None: ...

    def json(self) -> Any: ...


def carries_hash(answer: Answer) -> bool:
    """Whether both the header and the JSON body name our hash; raises where the body is no JSON object."""
    headers = answer.headers or {}
    return (
        headers.get(HEADER) == CONSTITUTIONAL_HASH
        and answer.json().get("constitutional_hash") == CONSTITUTIONAL_HASH
    )


def hashes_seen(answer: Answer) -> str:
    """What the answer named instead, as evidence."""
    named = (answer.headers or {}).get(HEADER)
    try:
        body = answer.json().get("constitutional_hash")
    except (ValueError, AttributeError, TypeError) as error:
        body = f"unreadable ({error})"
    return f"expected {CONSTITUTIONAL_HASH}, header {named}, body {body}"
