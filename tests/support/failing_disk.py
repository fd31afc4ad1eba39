"""A disk that fails at the k-th write or fsync of a journal, in one process of a run.

The fault is planted through Python's own `sitecustomize`, which every process of the run imports at its start;
the product has no switch for it.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

FOREVER = 1_000_000_000

SHIM = """
import os
import sys

PROCESS, JOURNAL, CALL, FIRST, LAST = os.environ["FAILING_DISK"].split(":")
FIN = b"\\x03"


def is_meant(descriptor, data):
    try:
        if not os.readlink(f"/proc/self/fd/{descriptor}").endswith(JOURNAL):
            return False
    except OSError:
        return False
    if FIRST == "fin":
        return bytes(data[8:9]) == FIN
    failing.count += 1
    return int(FIRST) <= failing.count <= int(LAST)


def failing(real):
    def call(descriptor, *data):
        if is_meant(descriptor, *(data or (b"",))):
            raise OSError(28, "No space left on device")
        return real(descriptor, *data)

    return call


failing.count = 0
if PROCESS in sys.orig_argv:
    setattr(os, CALL, failing(getattr(os, CALL)))
"""


def failing_disk(
    folder: Path, process: str, journal: str, call: str, first: int | str, last: int | None = None
) -> dict[str, str]:
    """Environment of a run in which `call` (`write` or `fsync`) on a journal fails from the first to the last time.

    `process` is a word of the command line of the one process that is meant; `first` may be `"fin"`, the write of
    the last record. `last` is `first` unless given.
    """
    (folder / "sitecustomize.py").write_text(SHIM)
    last = first if last is None else last
    paths = os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH")]))
    return {"PYTHONPATH": paths, "FAILING_DISK": f"{process}:{journal}:{call}:{first}:{last}"}
