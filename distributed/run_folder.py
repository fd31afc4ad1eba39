"""The run folder while a run goes on: manifest, events and samples, written as they happen."""

from __future__ import annotations

import contextlib
import datetime
import fcntl
import json
import os
from typing import TYPE_CHECKING, Any, Final

from loadproof.errors import RunFolderError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SCHEMA_VERSION: Final = 1
EVENTS: Final = "events.jsonl"


class RunFolder:
    """`reports/<name>-<UTC>/`; created at once, so that an unwritable place fails before the load."""

    def __init__(self, reports: Path, name: str, now: datetime.datetime) -> None:
        stamp = now.strftime("%Y%m%dT%H%M%SZ")
        try:
            reports.mkdir(parents=True, exist_ok=True)
            path = _create(reports, f"{name}-{stamp}")
            (path / "journals").mkdir()
            (path / "worker-journals").mkdir()
        except OSError as error:
            raise RunFolderError(
                f"cannot write the run folder below {reports}: {error.strerror}; "
                "make it writable or name another with --reports"
            ) from error
        self._open(path, {"schema_version": SCHEMA_VERSION})

    @classmethod
    def again(cls, path: Path) -> RunFolder:
        """That of a run whose master died; UsageError when there is none to go on with."""
        folder = cls.__new__(cls)
        try:
            manifest = json.loads((path / "manifest.json").read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise UsageError(
                f"{path} is no run folder that can be gone on with: manifest.json: {error}"
            ) from error
        version = manifest.get("schema_version")
        if isinstance(version, int) and version > SCHEMA_VERSION:
            raise UsageError(
                f"{path} is of a newer loadproof: its manifest.json has the schema version {version}, and this one "
                f"reads up to {SCHEMA_VERSION}; go on with the loadproof that began the run"
            )
        if manifest.get("closed"):
            raise UsageError(f"the run of {path} is over: `loadproof report {path}` shows it")
        folder._open(path, manifest)  # noqa: SLF001 its own
        return folder

    def _open(self, path: Path, manifest: dict[str, Any]) -> None:
        self.path = path
        self.journals = path / "journals"
        self.worker_journals = path / "worker-journals"
        try:
            end_line(path / EVENTS)
            end_line(path / "samples.jsonl")
            self._events = (self.path / EVENTS).open("a", encoding="utf-8")
            self._samples = (self.path / "samples.jsonl").open("a", encoding="utf-8")
            # Held to the end of this process, however it ends: `goes_on` asks for it.
            fcntl.flock(self._events, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UsageError(f"the run of {path} goes on: its master is alive") from error
        except OSError as error:
            raise RunFolderError(f"cannot write the run folder {path}: {error.strerror}") from error
        self.log = self.path / "run.log"
        self.manifest = manifest
        self.on_sample: Callable[[int, str, float], None] | None = None

    @property
    def plan(self) -> Path:
        return self.path / "plan.yaml"

    def event(self, at_us: int | None, kind: str, text: str, who: str | None = None) -> None:
        """Note that something happened: `phase`, `worker_joined`, `worker_lost`, `stop`, ..."""
        self._line(
            self._events, {"at_us": at_us, "utc": utc_text(utc_now()), "kind": kind, "who": who, "text": text}
        )

    def sample(self, at_us: int, name: str, value: float) -> None:
        self._line(self._samples, {"at_us": at_us, "name": name, "value": value})
        if self.on_sample is not None:
            self.on_sample(at_us, name, value)

    def no_sample(self, at_us: int, name: str, why: str) -> None:
        """From now on there is no value of this name, until there is one again or another reason."""
        self._line(self._samples, {"at_us": at_us, "name": name, "value": None, "why": why})

    def write_manifest(self, **facts: Any) -> None:
        """Merge facts into the manifest and replace the file in one step."""
        self.manifest.update(facts)
        new = self.path / "manifest.json.new"
        try:
            new.write_text(json.dumps(self.manifest, indent=1) + "\n", encoding="utf-8")
            new.replace(self.path / "manifest.json")
        except OSError as error:
            new.unlink(missing_ok=True)
            raise self._unwritable(error) from error

    def close(self) -> None:
        for stream in (self._events, self._samples):
            with contextlib.suppress(OSError):
                stream.close()

    def _line(self, stream: Any, record: dict[str, Any]) -> None:
        try:
            stream.write(json.dumps(record) + "\n")
            stream.flush()
        except OSError as error:
            raise self._unwritable(error) from error

    def _unwritable(self, error: OSError) -> RunFolderError:
        return RunFolderError(
            f"{self.path} cannot be written: {error.strerror}; free space there: what the workers measured is kept "
            f"in {self.worker_journals}"
        )


def goes_on(path: Path) -> bool:
    """Whether the process that writes this run folder is alive."""
    try:
        with (path / EVENTS).open(encoding="utf-8") as events:
            fcntl.flock(events, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def read_events(path: Path) -> list[dict[str, Any]]:
    """All events of a run folder so far."""
    try:
        return [json.loads(line) for line in (path / EVENTS).read_text(encoding="utf-8").splitlines()]
    except (OSError, ValueError) as error:
        raise UsageError(f"{path / EVENTS} cannot be read: {error}; use `loadproof recover`") from error


def end_line(path: Path) -> None:
    """Cut off half a line that a killed master has left."""
    if path.is_file():
        whole = path.read_bytes()
        kept = whole.rfind(b"\n") + 1
        if kept < len(whole):
            os.truncate(path, kept)


def utc_now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


def utc_text(moment: datetime.datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def _create(reports: Path, name: str) -> Path:
    for number in range(1, 100):
        path = reports / (name if number == 1 else f"{name}-{number}")
        try:
            path.mkdir()
        except FileExistsError:
            continue
        return path
    raise FileExistsError(17, "a hundred runs of this name began in one second", str(reports))
