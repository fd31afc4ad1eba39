"""`switch`: the target's own switches, set over HTTP and put back."""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any, Final

from loadproof.faults.fault import FaultError

if TYPE_CHECKING:
    from loadproof.faults.fault import Undo

ANSWER_S: Final = 5.0
ANSWER_BYTES: Final = 1024 * 1024


class Switch:
    def __init__(self, url: str, wanted: dict[str, Any]) -> None:
        self._url = url
        self._wanted = wanted

    def prepare(self) -> Undo:
        known = switches(self._url)
        unknown = sorted(self._wanted.keys() - known.keys())
        if unknown:
            raise FaultError(f"the target has no switch {', '.join(unknown)}; it has {', '.join(known)}")
        return {name: known[name] for name in self._wanted}

    def inject(self, undo: Undo) -> None:  # noqa: ARG002 the shape of every kind
        _exchange(self._url, self._wanted)

    def revert(self, undo: Undo) -> str:
        _exchange(self._url, undo)
        return ""


def switches(url: str) -> dict[str, Any]:
    """Every switch of the target as it is set now; FaultError where it has none."""
    return _exchange(url, None)


def _exchange(url: str, change: dict[str, Any] | None) -> dict[str, Any]:
    request = urllib.request.Request(  # noqa: S310 the plan's reader allows http(s) only
        f"{url}/switches",
        data=None if change is None else json.dumps(change).encode(),
        method="GET" if change is None else "PUT",
        headers={"User-Agent": "loadproof", "Content-Type": "application/json"},
    )
    what = f"{request.get_method()} {url}/switches"
    try:
        # A proxy of the environment is for the world, not for the target.
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(
            request, timeout=ANSWER_S
        ) as answer:
            found = json.loads(answer.read(ANSWER_BYTES))
    except urllib.error.HTTPError as error:
        with error:
            told = error.read(500).decode("utf-8", "replace")
        raise FaultError(f"{what} was answered with {error.code}: {told}") from None
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise FaultError(f"{what}: {error}") from None
    if not isinstance(found, dict):
        raise FaultError(f"{what} was answered with no switches")
    return found
