"""The audit trail's arithmetic: what an entry's hash and signature cover, and where a range first is not whole.

    hash       SHA-256(hash of the entry before, 32 bytes; 32 zero bytes before the first ‖ the entry's JSON)
    signature  Ed25519 (RFC 8032) over the 32 bytes of the hash

The JSON is canonical (keys sorted, no spaces, UTF-8 with nothing escaped that need not be) and has the entry's
position in it, so that no entry can stand elsewhere. Pure: no clock, no database, no HTTP.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from target.policy import Attributes  # noqa: TC001 msgspec looks it up at run time

if TYPE_CHECKING:
    from collections.abc import Iterable

BEFORE_FIRST: Final = bytes(32)
SEED_BYTES: Final = 32

Fault = Literal["missing", "content", "link", "hash", "signature"]


class Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is hashed."""

    seq: int
    """Position in the trail, from 1 without gaps."""
    time_us: int
    """When it was appended, in microseconds since 1970 (UTC)."""
    actor: str
    action: str
    payload: Attributes


class Link(NamedTuple):
    """An entry as it is kept."""

    seq: int
    previous: bytes
    hash: bytes
    signature: bytes
    content: bytes


class Signer:
    """The key of one trail, from its 32 secret bytes."""

    def __init__(self, seed: bytes) -> None:
        self._private = Ed25519PrivateKey.from_private_bytes(seed)
        self.public = self._private.public_key()

    def link(self, previous: bytes, entry: Entry) -> Link:
        """The entry behind the one whose hash is `previous`."""
        return self.link_content(entry.seq, previous, msgspec.json.encode(entry, order="sorted"))

    def link_content(self, seq: int, previous: bytes, content: bytes) -> Link:
        mark = link_hash(previous, content)
        return Link(seq, previous, mark, self._private.sign(mark), content)


def link_hash(previous: bytes, content: bytes) -> bytes:
    return hashlib.sha256(previous + content).digest()


_form: Final = msgspec.json.Decoder(Entry)


def first_fault(
    key: Ed25519PublicKey, before: bytes, first: int, last: int, links: Iterable[Link]
) -> tuple[int, Fault] | None:
    """The first position from `first` to `last` that is not as it was appended, and in what; None if all are.

    `before` is the hash of the entry before `first`. Links come in the order of their positions.
    """
    expected = first
    for link in links:
        if link.seq != expected:
            break
        fault = _fault(key, before, link)
        if fault is not None:
            return expected, fault
        before = link.hash
        expected += 1
    return (expected, "missing") if expected <= last else None


def _fault(key: Ed25519PublicKey, before: bytes, link: Link) -> Fault | None:
    try:
        entry = _form.decode(link.content)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return "content"
    if entry.seq != link.seq:
        return "content"
    if link.previous != before:
        return "link"
    if link.hash != link_hash(link.previous, link.content):
        return "hash"
    try:
        key.verify(link.signature, link.hash)
    except InvalidSignature:
        return "signature"
    return None
