"""The constitution: its hash, its principles, and how far a submitted action complies with them.

Principles are only ever added, and numbered 1, 2, 3, ... without gaps. So their number is the constitution's
version, and version n is the first n principles, also when there are more by now.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final

import msgspec
from msgspec import Meta, Struct

from target.answers import RefusedError, answer, read_json, read_query
from target.constitution import require_hash
from target.endpoint import Endpoint
from target.principles import (
    DEFAULTS,
    THRESHOLD,
    Finding,
    Fraction,
    Principle,
    Score,
    SubmittedAction,
    compliant,
    find,
    score,
)

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from target.store import Store, Transaction

MOST_PRINCIPLES: Final = 64
"""Every action is scored against all of them, in the event loop: 25 µs for the default ones."""


_encode: Final = msgspec.json.Encoder().encode


def _text(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


_DEFAULT_ROWS: Final = ", ".join(
    f"({at}, {_text(principle.name)}, {_text(_encode(principle).decode())})"
    for at, principle in enumerate(DEFAULTS, 1)
)

SCHEMA: Final = (
    """CREATE TABLE IF NOT EXISTS principles (
        id INTEGER PRIMARY KEY,
        name TEXT NOT NULL UNIQUE,
        content TEXT NOT NULL
    )""",
    f"""INSERT INTO principles SELECT * FROM (VALUES {_DEFAULT_ROWS}) AS defaults
        WHERE NOT EXISTS (SELECT 1 FROM principles)""",  # noqa: S608 texts of our own, quoted
)


class StoredPrinciple(Struct, frozen=True):
    id: int
    principle: Principle


class PrincipleAnswer(StoredPrinciple, frozen=True):
    version: int
    constitutional_hash: str


class PrincipleList(Struct, frozen=True):
    items: tuple[StoredPrinciple, ...]
    version: int
    constitutional_hash: str


class ComplianceAnswer(Struct, frozen=True):
    compliant: bool
    score: Score
    threshold: Fraction
    findings: list[Finding]
    """One a principle, in order of their ids."""
    version: int
    """Of the constitution that the action was scored with."""
    constitutional_hash: str


class VerifyQuery(Struct, frozen=True, forbid_unknown_fields=True):
    hash: Annotated[str, Meta(min_length=1, max_length=128)]


class HashAnswer(Struct, frozen=True):
    hash: str
    valid: bool
    """Whether `hash` is that of the constitution in force."""
    version: int
    constitutional_hash: str


class Principles:
    """The stored principles; a process decodes each of them once, as none is ever changed."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: tuple[StoredPrinciple, ...] = ()

    async def all(self) -> tuple[StoredPrinciple, ...]:
        """In order of their ids; their number is the version."""
        known = self._known
        rows = await self._store.read(
            "SELECT id, content FROM principles WHERE id > ? ORDER BY id", (len(known),)
        )
        if rows:
            known = (*known, *(StoredPrinciple(row[0], _principle_form.decode(row[1])) for row in rows))
            self._known = known
        return known


_principle_form: Final = msgspec.json.Decoder(Principle)
_action_form: Final = msgspec.json.Decoder(SubmittedAction)


async def create(request: Request) -> Response:
    """Add a principle; 409 when there is one of its name, or no room for more."""
    served = require_hash(request)
    principle = await read_json(request, _principle_form)

    def insert(transaction: Transaction) -> int:
        count: int = transaction.execute("SELECT count(*) FROM principles")[0][0]
        if transaction.execute("SELECT 1 FROM principles WHERE name = ?", (principle.name,)):
            raise RefusedError(409, "principle_exists", f"there is a principle {principle.name!r} already")
        if count >= MOST_PRINCIPLES:
            raise RefusedError(
                409, "too_many_principles", f"a constitution has at most {MOST_PRINCIPLES} principles"
            )
        transaction.execute(
            "INSERT INTO principles (id, name, content) VALUES (?, ?, ?)",
            (count + 1, principle.name, _encode(principle).decode()),
        )
        return count + 1

    version = await request.app.state.store.write(insert)
    return answer(PrincipleAnswer(version, principle, version, served), 201)


async def every(request: Request) -> Response:
    """All principles of the constitution, in order of their ids."""
    served = require_hash(request)
    known = await request.app.state.principles.all()
    return answer(PrincipleList(known, len(known), served))


async def compliance(request: Request) -> Response:
    """Score a submitted action against every stored principle."""
    served = require_hash(request)
    action = await read_json(request, _action_form)
    known = await request.app.state.principles.all()
    findings = [find(stored.id, stored.principle, action) for stored in known]
    reached = score(findings)
    return answer(ComplianceAnswer(compliant(reached), reached, THRESHOLD, findings, len(known), served))


async def verify(request: Request) -> Response:
    """Whether a hash is the one in force; the header is not asked for, as one may not know it yet."""
    query = read_query(request, VerifyQuery)
    served: str = request.app.state.constitutional_hash
    known = await request.app.state.principles.all()
    return answer(HashAnswer(query.hash, query.hash == served, len(known), served))


ROUTES: Final = (
    Endpoint(
        "POST",
        "/constitution/principles",
        create,
        body=Principle,
        answers={201: PrincipleAnswer},
        refusals=(409,),
    ),
    Endpoint("GET", "/constitution/principles", every, answers={200: PrincipleList}),
    Endpoint(
        "POST", "/constitution/compliance", compliance, body=SubmittedAction, answers={200: ComplianceAnswer}
    ),
    Endpoint(
        "GET",
        "/constitution/verify",
        verify,
        query=VerifyQuery,
        answers={200: HashAnswer},
        needs_hash=False,
    ),
)
