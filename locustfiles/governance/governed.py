"""What every user of the governance suite does: pause, name the hash, and look for it in each answer."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from locust import between

from loadproof.client.user import LoadUser
from locustfiles.governance.constitution import HEALTH, carries_hash, hashes_seen

if TYPE_CHECKING:
    from collections.abc import Callable

_TOKEN: Final = re.compile(r'"token"\s*:\s*"[^"]*"?')


class GovernanceUser(LoadUser):
    """Subclasses declare the check `hash_consistency` and call `check_hash` for every answer."""

    abstract = True
    expected_health = HEALTH
    # A request each 0.6 s and its answer's time: 1,000 users make about 1,600 requests/s while answers take
    # some milliseconds, and still 1,000/s when they take 0.4 s on average.
    wait_time = between(0.3, 0.9)

    def check_hash(self, response: Any, *, refused: bool = False) -> None:
        """`refused`: the answer is the error that was to come, and is looked at although it is one."""
        self.check(
            "hash_consistency",
            lambda: carries_hash(response),
            on=None if refused else response,
            detail=lambda: hashes_seen(response),
        )

    def check_fault(self, name: str, response: Any, fault: Callable[[Any], str | None]) -> bool:
        """The check `name` by a function that says of the answer's JSON what is wrong with it, or None."""
        found: list[str] = []

        def right() -> bool:
            text = fault(response.json())
            found.extend([text] if text else [])
            return not found

        return self.check(
            name, right, on=response, detail=lambda: "; ".join([*found, f"got {shown(response)}"])
        )


def shown(response: Any) -> str:
    """The beginning of an answer, as evidence; a token in it stays secret."""
    return _TOKEN.sub('"token":"(secret)"', str(response.text))[:500]
