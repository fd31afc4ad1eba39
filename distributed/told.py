"""What a target tells of its own size: `GET /resources`, asked once a second while the run goes on.

The answer is `{"resources": {"state": 81920, "objects": 210345}}`, each of `resources.TOLD` that the target knows, or null.
One that answers anything else does not tell, and is asked no more.
"""

from __future__ import annotations

import http.client
import json
import math
from typing import TYPE_CHECKING, Any, Final
from urllib.error import HTTPError

import gevent

from distributed.resources import TOLD
from distributed.target_service import get

if TYPE_CHECKING:
    from collections.abc import Collection

    from distributed.clock import RunClock
    from distributed.run_folder import RunFolder

PATH: Final = "/resources"


def sample_told(folder: RunFolder, clock: RunClock, url: str, elsewhere: Collection[str] = ()) -> None:
    """Write `target.state`, ... once a second, but those that are sampled `elsewhere`; returns if the target does not tell.

    A target that cannot be reached may be in a fault, and is asked again.
    """
    second = 0
    while True:
        gevent.sleep(clock.seconds_until(second * 1_000_000))
        now = max(0, clock.now_us())
        try:
            told = read_told(get(f"{url}{PATH}"))
        except HTTPError as error:
            error.close()
            if error.code < 500:
                return
            told = {}
        except (OSError, http.client.HTTPException):
            told = {}
        except ValueError:
            return
        for name, value in told.items():
            if f"target.{name}" not in elsewhere:
                folder.sample(now, f"target.{name}", value)
        second = max(second + 1, now // 1_000_000 + 1)


def read_told(body: bytes) -> dict[str, float]:
    """Those that are numbers; ValueError for another form."""
    document: Any = json.loads(body)
    try:
        resources = dict(document["resources"])
    except (KeyError, TypeError) as error:
        raise ValueError("it has no `resources`") from error
    return {
        name: value
        for name in TOLD
        for value in (resources.get(name),)
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    }
