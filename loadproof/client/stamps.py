"""When an answer came: by the kernel's receive stamp where it can be believed, else by our own clock."""

from __future__ import annotations

from typing import Final

DRIFT_NS: Final = 1_000_000
DRIFT_SHARE: Final = 2_000
"""500 ppm: what the clocks' difference may move by slewing, beside `DRIFT_NS`, before the stamp is doubted."""
BUFFERED: Final = 65_536
"""Bytes of an answer beyond which the receive buffer may have been full and the sender held back by us."""


def arrived(stamp_ns: int, sent_real_ns: int, now_real_ns: int, sent_ns: int, now_ns: int) -> bool:
    """Whether the kernel's stamp is to be believed for an answer to what was sent then.

    Real and monotonic time of the sending and of now: if their difference moved, the wall clock was set
    meanwhile; and a stamp outside [sent, now] belongs to something else.
    """
    drift = (now_real_ns - now_ns) - (sent_real_ns - sent_ns)
    allowed = DRIFT_NS + (now_ns - sent_ns) // DRIFT_SHARE
    return -allowed <= drift <= allowed and sent_real_ns <= stamp_ns <= now_real_ns
