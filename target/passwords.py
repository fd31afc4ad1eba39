"""Digests of passwords, made in a child process of each server process: a component that can crash alone.

The cost is bounded: scrypt over 1 MiB, some 3 ms, one at a time, and at most MOST_WAITING wait. A service that
keeps real passwords would take ten times that.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import subprocess
import sys
import threading
from pathlib import Path
from typing import Final

SALT_BYTES: Final = 16
DIGEST_BYTES: Final = 32
MOST_WAITING: Final = 1_024
_CHILD: Final = Path(__file__).with_name("password_process.py")


class PasswordsCrashedError(Exception):
    """The process died over the digest, or must not be started again yet."""


class PasswordsBusyError(Exception):
    """MOST_WAITING digests wait already."""


class _Job:
    __slots__ = ("future", "loop", "message")

    def __init__(self, message: bytes) -> None:
        self.message = message
        self.loop = asyncio.get_running_loop()
        self.future: asyncio.Future[bytes] = self.loop.create_future()

    def resolve(self, digest: bytes | None) -> None:
        def tell() -> None:
            if self.future.done():  # its request was cancelled meanwhile
                return
            if digest is None:
                self.future.set_exception(PasswordsCrashedError())
            else:
                self.future.set_result(digest)

        # The loop is closed when the process is leaving.
        with contextlib.suppress(RuntimeError):
            self.loop.call_soon_threadsafe(tell)


class Passwords:
    """Belongs to one server process; thread and child start with the first digest."""

    def __init__(self) -> None:
        self._jobs: queue.SimpleQueue[_Job] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._child: subprocess.Popen[bytes] | None = None
        self._waiting = 0
        self.crashing = False
        """Whether none may be started."""

    @property
    def state(self) -> str:
        if self.crashing:
            return "its process was killed"
        return "ok" if self._child is None else f"process {self._child.pid}"

    async def digest(self, password: str, salt: bytes) -> bytes:
        """Raises PasswordsCrashedError and PasswordsBusyError."""
        if self._waiting >= MOST_WAITING:
            raise PasswordsBusyError
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="passwords", daemon=True)
            self._thread.start()
        text = password.encode()
        job = _Job(len(text).to_bytes(4, "little") + salt + text)
        self._jobs.put(job)
        self._waiting += 1
        try:
            return await job.future
        finally:
            self._waiting -= 1

    def crash(self, *, crashing: bool) -> None:
        """Kill the process, and let none be started as long as this is so."""
        self.crashing = crashing
        child = self._child
        if crashing and child is not None:
            child.kill()

    def _work(self) -> None:
        while True:
            job = self._jobs.get()
            try:
                job.resolve(self._asked(job.message))
            except OSError:
                job.resolve(None)

    def _asked(self, message: bytes) -> bytes | None:
        child = self._running()
        if child is None:
            return None
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.write(message)
        child.stdin.flush()
        digest = child.stdout.read(DIGEST_BYTES)
        return digest if len(digest) == DIGEST_BYTES else None

    def _running(self) -> subprocess.Popen[bytes] | None:
        if self._child is not None and self._child.poll() is not None:
            with contextlib.suppress(OSError):
                self._child.communicate()
            self._child = None
        if self._child is None and not self.crashing:
            # By its file, so that it loads nothing of ours: it is there within 20 ms, and ends with its input.
            self._child = subprocess.Popen(
                [sys.executable, "-I", "-S", str(_CHILD)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
            )
        return self._child
