"""A wish for a run's end that comes from outside its process: a file in the run folder.

Whoever may write there may end the run, over a volume of containers too; nothing listens, so nothing has to be
kept from strangers.
"""

from __future__ import annotations

import contextlib
import getpass
import json
import os
import socket
import time
from typing import TYPE_CHECKING, Final, NamedTuple

import gevent

from loadproof.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from typing import NoReturn

NAME: Final = "stop.json"
LOOK_S: Final = 0.1
LONGEST: Final = 300
"""Characters that are kept of who and why."""


class StopRequest(NamedTuple):
    who: str
    why: str
    at_once: bool
    """End what is in flight too."""


def ask_stop(run: Path, why: str, *, at_once: bool) -> None:
    """Leave the wish of this user in a run folder; UsageError if it cannot be written there."""
    request = StopRequest(f"{_user()} on {socket.gethostname()}", why, at_once)
    new = run / f"{NAME}.{os.getpid()}"
    try:
        new.write_text(json.dumps(request._asdict()) + "\n", encoding="utf-8")
        new.replace(run / NAME)
    except OSError as error:
        raise UsageError(
            f"the run cannot be asked to stop: {run / NAME} cannot be written: {error.strerror}; as the user who "
            "runs it you may, and Ctrl-C in its terminal does the same"
        ) from error


def is_taken(run: Path, patience_s: float) -> bool:
    """Wait until the run has taken the wish; False, and the wish is withdrawn, if nobody does."""
    deadline = time.monotonic() + patience_s
    while (run / NAME).exists():
        if time.monotonic() > deadline:
            with contextlib.suppress(FileNotFoundError):
                (run / NAME).unlink()
                return False
        time.sleep(LOOK_S)
    return True


def heed_requests(run: Path, obey: Callable[[StopRequest], None]) -> NoReturn:
    """Hand on every wish that is left in the folder, until killed."""
    while True:
        request = _take(run / NAME)
        if request is not None:
            obey(request)
        gevent.sleep(LOOK_S)


def _take(path: Path) -> StopRequest | None:
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
        path.unlink()
    except FileNotFoundError:
        return None
    except OSError as error:
        return StopRequest("somebody", f"{path} cannot be read: {error.strerror}", at_once=False)
    try:
        given = json.loads(text)
        return StopRequest(str(given["who"])[:LONGEST], str(given["why"])[:LONGEST], given["at_once"] is True)
    except (ValueError, KeyError, TypeError):
        # Whoever wrote it wants the end, however badly it was said.
        return StopRequest("somebody", f"{NAME} says nothing that can be read", at_once=False)


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container's user may have no name
        return f"user {os.getuid()}"
