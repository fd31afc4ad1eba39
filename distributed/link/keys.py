"""CURVE keys and their files: one pair for the master, one for each worker, never one for two.

A file is lines of two words; keys stand as ZeroMQ writes them (Z85, RFC 32). `#` opens a comment at a line's start
only, because Z85 uses it too.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import stat
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

import zmq
from zmq.utils import z85

from loadproof.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

MASTER_KEY: Final = "master.key"
MASTER_PUB: Final = "master.pub"
AUTHORISED: Final = "workers.pub"
FILE_BYTES: Final = 1024 * 1024


@dataclass(frozen=True)
class KeyPair:
    """Both halves as 40 characters of Z85."""

    public: bytes
    secret: bytes = field(repr=False)


@dataclass(frozen=True)
class MasterKeys:
    """What a master holds: its own pair and whom it lets in."""

    own: KeyPair
    workers: Mapping[str, bytes]
    """Worker -> its public key."""

    @property
    def fingerprints(self) -> dict[str, str]:
        """For the record: `master` and every worker."""
        everyone = {"master": self.own.public, **self.workers}
        return {name: fingerprint(public) for name, public in everyone.items()}

    def only(self, workers: Iterable[str]) -> MasterKeys:
        """The same for these workers alone; UsageError if one of them has no key."""
        chosen = list(workers)
        lacking = [worker for worker in chosen if worker not in self.workers]
        if lacking:
            raise UsageError(
                f"the key set has no key for {', '.join(lacking)}: make one for this plan with `loadproof keys`"
            )
        return MasterKeys(self.own, {worker: self.workers[worker] for worker in chosen})


@dataclass(frozen=True)
class WorkerKeys:
    """What a worker holds: who it is, its own pair, and the only master that it speaks to."""

    worker: str
    own: KeyPair
    master: bytes


def fingerprint(public: bytes) -> str:
    """The first 16 hexadecimal digits of the SHA-256 of a public key's 32 bytes."""
    return hashlib.sha256(z85.decode(public)).hexdigest()[:16]


def make_keys(workers: Iterable[str]) -> tuple[MasterKeys, dict[str, WorkerKeys]]:
    """A new set: the master's side and every worker's."""
    master = KeyPair(*zmq.curve_keypair())
    pairs = {worker: KeyPair(*zmq.curve_keypair()) for worker in workers}
    return (
        MasterKeys(master, {worker: pair.public for worker, pair in pairs.items()}),
        {worker: WorkerKeys(worker, pair, master.public) for worker, pair in pairs.items()},
    )


def write_master_side(folder: Path, keys: MasterKeys) -> list[Path]:
    """Write the master's secret and the list of workers that it lets in; returns the files."""
    own = {"public": keys.own.public, "secret": keys.own.secret}
    authorised = _text("the workers that the master lets in, each with its public key", keys.workers)
    return [
        _write(folder / MASTER_KEY, _text("the master's key: secret, for its host alone", own), 0o600),
        _write(folder / AUTHORISED, authorised, 0o644),
    ]


def write_worker_side(folder: Path, workers: Mapping[str, WorkerKeys]) -> list[Path]:
    """Write the master's public key and a secret file a worker; returns the files."""
    public = master_text(next(iter(workers.values())))
    return [
        _write(folder / MASTER_PUB, public, 0o644),
        *(_write(worker_key(folder, worker), worker_text(keys), 0o600) for worker, keys in workers.items()),
    ]


def worker_text(keys: WorkerKeys) -> bytes:
    """A worker's secret file."""
    own = {"worker": keys.worker.encode(), "public": keys.own.public, "secret": keys.own.secret}
    return _text(f"the key of worker {keys.worker}: secret, for its host alone", own)


def master_text(keys: WorkerKeys) -> bytes:
    """The file by which a worker knows its master."""
    return _text("the master's public key: for every worker's host", {"master": keys.master})


def worker_key(folder: Path, worker: str) -> Path:
    return folder / f"{worker}.key"


def read_master_keys(folder: Path) -> MasterKeys:
    """The master's side of a key set; UsageError says which file is wrong and how."""
    own = _read(folder / MASTER_KEY, ("public", "secret"), secret=True)
    workers = _read(folder / AUTHORISED)
    for worker, public in workers.items():
        _check_key(folder / AUTHORISED, worker, public)
    if len(set(workers.values())) < len(workers):
        raise UsageError(
            f"{folder / AUTHORISED} gives two workers one key: make a new set with `loadproof keys`"
        )
    return MasterKeys(_pair(folder / MASTER_KEY, own), workers)


def read_worker_keys(key: Path, master: Path) -> WorkerKeys:
    """A worker's side: its own file and the master's public key; UsageError as above."""
    own = _read(key, ("worker", "public", "secret"), secret=True)
    pinned = _read(master, ("master",))["master"]
    _check_key(master, "master", pinned)
    return WorkerKeys(own["worker"].decode(), _pair(key, own), pinned)


class Shared:
    """Throw-away keys of a master on loopback, laid out for workers of the same user on the same machine."""

    def __init__(self, port: int, workers: Mapping[str, WorkerKeys]) -> None:
        """UsageError if the folder, which the port names, is somebody else's."""
        self._folder = _loopback_folder(port)
        try:
            if self._folder.exists():
                _check_ours(self._folder)
                shutil.rmtree(self._folder)
            self._folder.mkdir(mode=0o700)
        except OSError as error:
            raise UsageError(f"cannot write keys to {self._folder}: {error.strerror}") from error
        write_worker_side(self._folder, workers)

    def close(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)


def take_shared(port: int, region: str) -> WorkerKeys:
    """Keys of a worker of this region that nobody here has taken yet, ours until this process ends.

    UsageError if no master of this user listens at the port without keys of its own, or none is left.
    """
    folder = _loopback_folder(port)
    if not folder.is_dir():
        raise UsageError(
            f"no master on this machine has left keys for port {port}: "
            "start it first, or name this worker's files with --key and --master-key"
        )
    _check_ours(folder)
    for path in sorted(folder.glob(f"{region}-*.key")):
        keys = read_worker_keys(path, folder / MASTER_PUB)
        if keys.worker.rpartition("-")[0] != region:
            continue
        taken = os.open(path, os.O_RDONLY)
        try:
            # The kernel gives the lock back when this process ends, however it ends.
            fcntl.flock(taken, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(taken)
            continue
        return keys
    raise UsageError(f"the master at port {port} has no free worker in region {region}")


def _loopback_folder(port: int) -> Path:
    return Path(tempfile.gettempdir()) / f"loadproof-{os.getuid()}-{port}"


def _check_ours(folder: Path) -> None:
    about = folder.lstat()
    if not stat.S_ISDIR(about.st_mode) or about.st_uid != os.getuid() or about.st_mode & 0o077:
        raise UsageError(f"{folder} is not a private folder of yours: remove it, or use `loadproof keys`")


def _pair(path: Path, words: Mapping[str, bytes]) -> KeyPair:
    for name in ("public", "secret"):
        _check_key(path, name, words[name])
    if zmq.curve_public(words["secret"]) != words["public"]:
        raise UsageError(
            f"{path}: the public key does not belong to the secret one: take the file as it was made"
        )
    return KeyPair(words["public"], words["secret"])


def _check_key(path: Path, name: str, key: bytes) -> None:
    try:
        sound = len(key) == 40 and len(z85.decode(key)) == 32
    except (KeyError, ValueError, OverflowError):
        sound = False
    if not sound:
        raise UsageError(f"{path}: the key of `{name}` is damaged: take the file as `loadproof keys` made it")


def _text(title: str, words: Mapping[str, bytes]) -> bytes:
    return f"# loadproof: {title}\n".encode() + b"".join(
        b"%s %s\n" % (n.encode(), w) for n, w in words.items()
    )


def _write(path: Path, text: bytes, mode: int) -> Path:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with open(descriptor, "wb") as file:  # noqa: PTH123 the mode must hold from the first byte on
            file.write(text)
    except FileExistsError as error:
        raise UsageError(f"{path} exists and is not overwritten: name a new folder") from error
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from error
    return path


def _read(path: Path, expected: tuple[str, ...] = (), *, secret: bool = False) -> dict[str, bytes]:
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            content = file.read(FILE_BYTES)
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}; `loadproof keys` makes a key set") from error
    if secret and stat.S_ISREG(mode) and stat.S_IMODE(mode) & 0o077:
        raise UsageError(f"{path} is a secret that others may read: `chmod 600 {path}`")
    words: dict[str, bytes] = {}
    for line in content.splitlines():
        if not line.strip() or line.startswith(b"#"):
            continue
        match = re.fullmatch(rb"([\w.-]+) (\S+)", line.strip(), re.ASCII)
        if match is None or match[1].decode() in words:
            raise UsageError(f"{path} is no key file: take it as `loadproof keys` made it")
        words[match[1].decode()] = match[2]
    if expected and tuple(words) != expected:
        raise UsageError(f"{path} is no such key file: it must hold {', '.join(expected)}")
    return words
