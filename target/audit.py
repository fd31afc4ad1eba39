"""The audit trail: entries that are chained by hashes and signed, appended one after the other.

An entry is appended in the store's write transaction, and one writes at a time: the last entry that it finds is
the last one, whichever process appended it, so the chain cannot fork.

The signing key is made with the store and kept in it: who can write there can also forge. What is taken off
the trail's end is seen by those who know a later entry, so clients hold on to what they appended.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from typing import TYPE_CHECKING, Annotated, Final

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from target.answers import RefusedError, answer, read_json, read_query
from target.chain import BEFORE_FIRST, SEED_BYTES, Entry, Fault, Link, Signer, first_fault
from target.constitution import require_hash
from target.endpoint import Endpoint
from target.openapi import holding
from target.policy import Attributes  # noqa: TC001 msgspec looks it up at run time
from target.store import StoreUnavailableError

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from target.store import Row, Store, Transaction
    from target.switches import Switches

_FRESH_SEED: Final = secrets.token_hex(SEED_BYTES)
SCHEMA: Final = (
    """CREATE TABLE IF NOT EXISTS audit_entries (
        seq INTEGER PRIMARY KEY,
        previous BLOB NOT NULL,
        hash BLOB NOT NULL,
        signature BLOB NOT NULL,
        content BLOB NOT NULL
    ) STRICT""",
    """CREATE TABLE IF NOT EXISTS audit_key (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        seed TEXT NOT NULL
    ) STRICT""",
    # A store that has a key keeps it.
    f"INSERT INTO audit_key (id, seed) VALUES (1, '{_FRESH_SEED}') ON CONFLICT DO NOTHING",  # noqa: S608 hex digits
)
LONGEST_RANGE: Final = 10_000
"""Entries that one request verifies: some 0.7 s of a core, in a thread."""
_AT_ONCE: Final = 500
_LARGEST: Final = 2**53 - 1
_COLUMNS: Final = "SELECT seq, previous, hash, signature, content FROM audit_entries"

Seq = Annotated[int, Meta(ge=1, le=_LARGEST)]


class NewEntry(Struct, frozen=True, forbid_unknown_fields=True):
    actor: Annotated[str, Meta(min_length=1, max_length=128)]
    action: Annotated[str, Meta(min_length=1, max_length=128)]
    payload: Attributes


class EntryItem(Struct, frozen=True):
    """Hashes and signature in hexadecimal."""

    seq: int
    previous: str
    hash: str
    signature: str
    entry: Annotated[msgspec.Raw, holding(Entry)]


class EntryAnswer(EntryItem, frozen=True):
    constitutional_hash: str


class EntryList(Struct, frozen=True):
    items: list[EntryItem]
    constitutional_hash: str


class HeadAnswer(Struct, frozen=True):
    """The last entry; 0 and 32 zero bytes where there is none."""

    seq: int
    hash: str
    constitutional_hash: str


class KeyAnswer(Struct, frozen=True):
    algorithm: str
    public_key: str
    """32 bytes in hexadecimal."""
    constitutional_hash: str


class VerifyAnswer(Struct, frozen=True):
    ok: bool
    first: int
    last: int
    first_bad: int | None
    fault: Fault | None
    constitutional_hash: str


class ListQuery(Struct, frozen=True, forbid_unknown_fields=True):
    first: Seq = msgspec.field(name="from", default=1)
    limit: Annotated[int, Meta(ge=1, le=100)] = 20


class VerifyQuery(Struct, frozen=True, forbid_unknown_fields=True):
    first: Seq = msgspec.field(name="from", default=1)
    last: Seq | UnsetType = msgspec.field(name="to", default=UNSET)
    """By default the last one that there is."""


_new_form: Final = msgspec.json.Decoder(NewEntry)


class Trail:
    """The trail in a store; holds the key once it was read."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._signer: Signer | None = None

    async def signer(self) -> Signer:
        if self._signer is None:
            rows = await self._store.read("SELECT seed FROM audit_key")
            try:
                self._signer = Signer(bytes.fromhex(rows[0][0]))
            except (IndexError, TypeError, ValueError):
                raise StoreUnavailableError("the audit trail's key is damaged") from None
        return self._signer

    async def append(self, new: NewEntry) -> Link:
        signer = await self.signer()

        def insert(transaction: Transaction) -> Link:
            rows = transaction.execute("SELECT seq, hash FROM audit_entries ORDER BY seq DESC LIMIT 1")
            seq, before = rows[0] if rows else (0, BEFORE_FIRST)
            entry = Entry(seq + 1, time.time_ns() // 1_000, new.actor, new.action, new.payload)
            link = signer.link(_bytes(before), entry)
            transaction.execute(
                "INSERT INTO audit_entries (seq, previous, hash, signature, content) VALUES (?, ?, ?, ?, ?)",
                link,
            )
            return link

        return await self._store.write(insert)

    async def links(self, first: int, limit: int) -> list[Link]:
        rows = await self._store.read(f"{_COLUMNS} WHERE seq >= ? ORDER BY seq LIMIT ?", (first, limit))
        return [Link(row[0], *map(_bytes, row[1:])) for row in rows]

    async def head(self) -> tuple[int, bytes]:
        rows = await self._store.read("SELECT seq, hash FROM audit_entries ORDER BY seq DESC LIMIT 1")
        row: Row = rows[0] if rows else (0, BEFORE_FIRST)
        return row[0], _bytes(row[1])

    async def first_fault(self, first: int, last: int) -> tuple[int, Fault] | None:
        """As `chain.first_fault`, over what is stored; the hash of the entry before `first` is taken as it is."""
        key = (await self.signer()).public
        before = BEFORE_FIRST
        if first > 1:
            rows = await self._store.read("SELECT hash FROM audit_entries WHERE seq = ?", (first - 1,))
            before = _bytes(rows[0][0]) if rows else b""
        for start in range(first, last + 1, _AT_ONCE):
            end = min(start + _AT_ONCE - 1, last)
            links = await self.links(start, end - start + 1)
            fault = await asyncio.to_thread(first_fault, key, before, start, end, links)
            if fault is not None:
                return fault
            before = links[-1].hash
        return None


async def append(request: Request) -> Response:
    """Append an entry to the trail; the answer is what the client can later hold against it."""
    served = require_hash(request)
    new = await read_json(request, _new_form)
    link = await request.app.state.trail.append(new)
    return answer(EntryAnswer(*_shown(link), served), 201)


async def entries(request: Request) -> Response:
    """Entries in order of their positions, beginning with `from`."""
    served = require_hash(request)
    query = read_query(request, ListQuery)
    trail = request.app.state.trail
    links = await trail.links(query.first, query.limit)
    _plant(request.app.state.switches, await trail.signer(), links)
    return answer(EntryList([EntryItem(*_shown(link)) for link in links], served))


async def verify(request: Request) -> Response:
    """Recompute the hashes of a range, check its links and signatures, and say where it first is not whole."""
    served = require_hash(request)
    query = read_query(request, VerifyQuery)
    trail = request.app.state.trail
    if query.last is UNSET:
        last, _ = await trail.head()
        if query.first > last + 1:
            raise RefusedError(404, "no_such_entry", f"the trail ends with entry {last}")
    elif (last := query.last) < query.first:
        raise RefusedError(422, "invalid_query", "`to` comes before `from`")
    if last - query.first >= LONGEST_RANGE:
        raise RefusedError(422, "range_too_long", f"verify at most {LONGEST_RANGE:,} entries at once")
    fault = await trail.first_fault(query.first, last)
    position, what = fault or (None, None)
    return answer(VerifyAnswer(fault is None, query.first, last, position, what, served))


async def head(request: Request) -> Response:
    """Position and hash of the trail's last entry."""
    served = require_hash(request)
    seq, mark = await request.app.state.trail.head()
    return answer(HeadAnswer(seq, mark.hex(), served))


async def key(request: Request) -> Response:
    """The public key that entries' signatures are checked with."""
    served = require_hash(request)
    signer = await request.app.state.trail.signer()
    return answer(KeyAnswer("ed25519", signer.public.public_bytes_raw().hex(), served))


def _bytes(value: object) -> bytes:
    """STRICT keeps other types out, but not out of a file that was damaged behind the database's back."""
    return value if isinstance(value, bytes) else b""


def _shown(link: Link) -> tuple[int, str, str, str, msgspec.Raw]:
    return (
        link.seq,
        link.previous.hex(),
        link.hash.hex(),
        link.signature.hex(),
        msgspec.Raw(link.content),
    )


def _plant(switches: Switches, signer: Signer, links: list[Link]) -> None:
    """The faults that are switched on, in the last entry of a range: one that nothing else would show."""
    if len(links) > 1 and switches.take("broken_link"):
        forked = bytes(byte ^ 0xFF for byte in links[-1].previous)
        links[-1] = signer.link_content(links[-1].seq, forked, links[-1].content)
    if links and switches.take("bad_signature"):
        signature = links[-1].signature
        links[-1] = links[-1]._replace(signature=bytes([signature[0] ^ 1]) + signature[1:])


ROUTES: Final = (
    Endpoint("POST", "/audit/entries", append, body=NewEntry, answers={201: EntryAnswer}),
    Endpoint("GET", "/audit/entries", entries, query=ListQuery, answers={200: EntryList}),
    Endpoint("GET", "/audit/verify", verify, query=VerifyQuery, answers={200: VerifyAnswer}, refusals=(404,)),
    Endpoint("GET", "/audit/head", head, answers={200: HeadAnswer}),
    Endpoint("GET", "/audit/key", key, answers={200: KeyAnswer}),
)
