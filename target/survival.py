"""Users who register, sign in and use an API that goes on, as far as it can, while components are gone."""

from __future__ import annotations

import functools
import hmac
import secrets
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from target import accounts
from target.answers import RefusedError, answer, read_json, read_query
from target.components import ComponentState  # noqa: TC001 msgspec looks it up at run time
from target.endpoint import Endpoint
from target.front import DEGRADED, RETRY
from target.openapi import holding
from target.passwords import SALT_BYTES, PasswordsBusyError, PasswordsCrashedError
from target.policy import NO_NUL, Attributes

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.requests import Request
    from starlette.responses import Response

    from target.front import Front

    UserHandler = Callable[[Request, int], Awaitable[Response]]
    Handler = Callable[[Request], Awaitable[Response]]

SCHEMA: Final = accounts.SCHEMA

Name = Annotated[str, Meta(min_length=3, max_length=64, pattern=r"\A[a-z0-9._-]+\Z")]
Password = Annotated[str, Meta(min_length=8, max_length=128), NO_NUL]


class Login(Struct, frozen=True, forbid_unknown_fields=True):
    name: Name
    password: Password


class UserAnswer(Struct, frozen=True):
    id: int
    name: str


class SessionAnswer(Struct, frozen=True):
    user: int
    token: str
    expires_in_s: int


class ProfileUpdate(Struct, frozen=True, forbid_unknown_fields=True):
    """The new profile; `if_version` is the version that the client means to replace."""

    profile: Attributes
    if_version: Annotated[int, Meta(ge=1)] | None = None


class ProfileAnswer(Struct, frozen=True):
    profile: Annotated[msgspec.Raw, holding(Attributes)]
    version: int


class NewNote(Struct, frozen=True, forbid_unknown_fields=True):
    text: Annotated[str, Meta(min_length=1, max_length=2_000), NO_NUL]


class Note(Struct, frozen=True):
    id: int
    text: str


class NoteList(Struct, frozen=True):
    items: list[Note]
    """From the newest."""
    offset: int
    limit: int
    total: int


class ListQuery(Struct, frozen=True, forbid_unknown_fields=True):
    offset: Annotated[int, Meta(ge=0, le=2**53 - 1)] = 0
    limit: Annotated[int, Meta(ge=1, le=100)] | UnsetType = UNSET


class HealthAnswer(Struct, frozen=True):
    status: Literal["ok", "degraded"]
    components: dict[str, ComponentState]


_login_form: Final = msgspec.json.Decoder(Login)
_profile_form: Final = msgspec.json.Decoder(ProfileUpdate)
_note_form: Final = msgspec.json.Decoder(NewNote)


def _write(handler: Handler) -> Handler:
    """The handler behind the gateway, for whoever is not signed in."""

    @functools.wraps(handler)
    async def fronted(request: Request) -> Response:
        front: Front = request.app.state.components.front
        return await front.write(functools.partial(handler, request))

    return fronted


def _user_read(handler: UserHandler) -> Handler:
    """The handler behind the gateway, for a user who reads what is theirs."""

    @functools.wraps(handler)
    async def fronted(request: Request) -> Response:
        user = await _signed_in(request)
        key = f"{request.url.path}?{request.url.query}"
        front: Front = request.app.state.components.front
        return await front.read(user, key, functools.partial(handler, request, user))

    return fronted


def _user_write(handler: UserHandler) -> Handler:
    """The handler behind the gateway, for a user who changes what is theirs; it goes into the log of activity."""

    @functools.wraps(handler)
    async def fronted(request: Request) -> Response:
        user = await _signed_in(request)
        components = request.app.state.components
        response: Response = await components.front.write(functools.partial(handler, request, user))
        components.activity.record(f"{user} {request.method} {request.url.path}")
        return response

    return fronted


async def health(request: Request) -> Response:
    """Which components are there, and what becomes of requests while one is not; always 200."""
    components: dict[str, ComponentState] = request.app.state.components.states()
    ok = all(component.ok for component in components.values())
    return answer(HealthAnswer("ok" if ok else "degraded", components))


@_write
async def register(request: Request) -> Response:
    """A new user; 409 when somebody has the name."""
    new = await read_json(request, _login_form)
    store = request.app.state.accounts
    # Before the digest is paid for; `add` looks again, where nobody can come between.
    if await store.taken(new.name):
        raise accounts.name_taken(new.name)
    salt = secrets.token_bytes(SALT_BYTES)
    identity = await store.add(new.name, salt, await _digest(request, new.password, salt))
    return answer(UserAnswer(identity, new.name), 201)


@_write
async def login(request: Request) -> Response:
    """A token for name and password; 401 for a wrong one, whichever of both it is."""
    given = await read_json(request, _login_form)
    store = request.app.state.accounts
    known = await store.credentials(given.name)
    # A name that nobody has takes as long as a wrong password.
    digest = await _digest(request, given.password, known.salt if known else bytes(SALT_BYTES))
    if known is None or not hmac.compare_digest(digest, known.digest):
        raise _unauthorized("wrong_login", "there is no such user, or the password is another")
    return answer(SessionAnswer(known.user, await store.token(known.user), accounts.TOKEN_S))


@_user_read
async def read_profile(request: Request, user: int) -> Response:
    """The user's profile and its version; restored from its second copy where the first is damaged."""
    found = await request.app.state.accounts.profile(user)
    response = answer(ProfileAnswer(msgspec.Raw(found.content), found.version))
    if found.restored:
        response.headers[DEGRADED] = "profiles"
    return response


@_user_write
async def change_profile(request: Request, user: int) -> Response:
    """Replace the profile; its version grows by one. 409 when `if_version` is not the stored one."""
    new = await read_json(request, _profile_form)
    state = request.app.state
    content = msgspec.json.encode(new.profile, order="sorted")
    damaging = state.switches.on("state_corruption")
    version = await state.accounts.change(user, content, new.if_version, damaging=damaging)
    return answer(ProfileAnswer(msgspec.Raw(content), version))


@_user_write
async def add_note(request: Request, user: int) -> Response:
    """Add a note to the user's own."""
    new = await read_json(request, _note_form)
    return answer(Note(await request.app.state.accounts.add_note(user, new.text), new.text), 201)


@_user_read
async def list_notes(request: Request, user: int) -> Response:
    """The user's notes, from the newest; as many as the configuration says unless `limit` does."""
    query = read_query(request, ListQuery)
    limit = query.limit or request.app.state.components.configuration.current().notes_per_page
    rows, total = await request.app.state.accounts.notes(user, query.offset, limit)
    return answer(NoteList([Note(*row) for row in rows], query.offset, limit, total))


async def _signed_in(request: Request) -> int:
    """The token's user, if the path names the same one."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise _unauthorized("token_missing", "send the header Authorization: Bearer TOKEN")
    user: int | None = await request.app.state.accounts.user_of(token)
    if user is None:
        raise _unauthorized("unknown_token", "the token was not given here, or has ended")
    if request.path_params["id"] != str(user):
        raise RefusedError(403, "other_user", "the token is not for the user in the path")
    return user


async def _digest(request: Request, password: str, salt: bytes) -> bytes:
    passwords = request.app.state.components.passwords
    try:
        digest: bytes = await passwords.digest(password, salt)
    except PasswordsCrashedError:
        raise RefusedError(503, "passwords_crashed", "no password can be looked at now", RETRY) from None
    except PasswordsBusyError:
        raise RefusedError(503, "passwords_busy", "too many passwords wait to be looked at", RETRY) from None
    return digest


def _unauthorized(code: str, message: str) -> RefusedError:
    return RefusedError(401, code, message, {"WWW-Authenticate": "Bearer"})


_endpoint: Final = functools.partial(Endpoint, needs_hash=False)
_of_user: Final[Any] = functools.partial(_endpoint, bearer="UserToken", refusals=(504,))

ROUTES: Final = (
    _endpoint("GET", "/health", health, answers={200: HealthAnswer}),
    _endpoint("POST", "/users", register, body=Login, answers={201: UserAnswer}, refusals=(409, 504)),
    _endpoint("POST", "/sessions", login, body=Login, answers={200: SessionAnswer}, refusals=(401, 504)),
    _of_user("GET", "/users/{id}/profile", read_profile, answers={200: ProfileAnswer}),
    _endpoint(
        "PUT",
        "/users/{id}/profile",
        change_profile,
        body=ProfileUpdate,
        answers={200: ProfileAnswer},
        bearer="UserToken",
        refusals=(409, 504),
    ),
    _of_user("POST", "/users/{id}/notes", add_note, body=NewNote, answers={201: Note}),
    _of_user("GET", "/users/{id}/notes", list_notes, query=ListQuery, answers={200: NoteList}),
)
