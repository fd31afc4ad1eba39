"""The users of the survival suite against the real target, with components gone, and against one that lies."""

from __future__ import annotations

import json

import httpx
import pytest
from living import await_ailing
from playing import played, played_against
from serving import serving

API = "survival.api.AuthenticatedApiUser"
REGISTRATION = "survival.registration.RegistrationUser"
PLANETARY = "survival.planetary.PlanetaryUser"
ROUNDS = 10
USERS = 2
PROFILE = "/users/:id/profile"
NAMES = {
    API: {
        *("POST /users", "POST /sessions", f"GET {PROFILE}", f"PUT {PROFILE}"),
        *("GET /users/:id/notes", "POST /users/:id/notes"),
    },
    REGISTRATION: {"POST /users", "POST /users (taken)"},
    PLANETARY: {
        *("POST /users", "POST /sessions", f"GET {PROFILE}"),
        *("GET /users/:id/notes", "POST /users/:id/notes"),
    },
}


@pytest.fixture(scope="module")
def target(tmp_path_factory):
    with serving("--processes", "2", folder=tmp_path_factory.mktemp("survival")) as served:
        yield served


def failed(seen: dict[str, dict]) -> set[str]:
    return {name for name, entry in seen.items() if entry["failed"]}


@pytest.mark.parametrize("scenario", NAMES)
def test_every_request_and_check_succeeds_on_the_real_target(target, scenario):
    """All endpoints are requested by their templates; to be refused a name that is taken is a success."""
    seen = played(scenario, target.url, ROUNDS, users=USERS)

    assert set(seen) == NAMES[scenario]
    assert failed(seen) == set()


def test_who_is_registered_once_is_used_by_one(target):
    """A user registers and signs in once, however much it does then."""
    seen = played(API, target.url, ROUNDS, users=USERS)

    assert seen["POST /users"]["ok"] == seen["POST /sessions"]["ok"] == USERS
    assert seen[f"GET {PROFILE}"]["ok"] >= ROUNDS * USERS


@pytest.mark.parametrize(
    ("switch", "component", "failing"),
    [
        ("database_down", "database", None),
        ("memory_pressure", "memory", None),
        ("component_crash", "passwords", {"POST /users"}),
        ("state_corruption", "profiles", set()),
        ("storage_down", "storage", set()),
        ("config_missing", "configuration", set()),
    ],
)
def test_no_check_is_failed_by_what_is_gone(tmp_path, switch, component, failing):
    """What fails are requests, as the component's policy says; nothing that is answered is wrong."""
    with serving(folder=tmp_path) as served:
        httpx.put(f"{served.url}/switches", json={switch: True})
        with served.client() as client:
            await_ailing(client, component)
        seen = played(API, served.url, 3, users=USERS)

    if failing is None:
        # Whoever comes only now finds nobody to be: the database knows none, and no login is let in.
        failing = {"POST /users"}
    assert failed(seen) == failing


def lie_in_a_name(_, status, header, body):
    return status, header, {**body, "name": "another"} if "name" in body else body


def lie_in_a_session(_, status, header, body):
    return status, header, {**body, "user": body["user"] + 1} if "token" in body else body


def lie_in_a_profile(method, status, header, body):
    if method == "GET" and body.get("version", 1) > 1:
        body["profile"]["size"] += 1
    return status, header, body


def lie_by_an_old_profile(method, status, header, body):
    if method == "GET" and body.get("version", 1) > 2:
        body["version"] -= 1
    return status, header, body


def lie_by_forgetting(method, status, header, body):
    """A change is answered as if it had been made."""
    if method == "PUT" and status == 200:
        body["profile"] = {}
    return status, header, body


def lie_by_losing_a_note(_, status, header, body):
    if body.get("items"):
        del body["items"][0]
        body["total"] -= 1
    return status, header, body


def lie_in_order(_, status, header, body):
    if "items" in body:
        body["items"].reverse()
    return status, header, body


@pytest.mark.parametrize(
    ("lie", "check"),
    [
        (lie_in_a_name, "registration"),
        (lie_in_a_session, "session"),
        (lie_in_a_profile, "profile"),
        (lie_by_an_old_profile, "profile"),
        (lie_by_forgetting, "profile"),
        (lie_by_losing_a_note, "notes"),
        (lie_in_order, "notes"),
    ],
)
def test_a_lie_is_found_by_its_check(target, lie, check):
    """An answer with something wrong in it fails the check that is there for it and no other."""
    seen = played_against(target, told_the_method(lie), API, 4, users=USERS)

    assert f"CHECK {check}" in failed(seen)
    assert {name for name in failed(seen) if name.startswith("CHECK")} == {f"CHECK {check}"}


def told_the_method(lie):
    """A profile that was read and one that was written look the same: a write is told by its new version."""
    latest = {}

    def told(status, header, body):
        if "version" not in body:
            return lie("", status, header, body)
        known = latest.get(json.dumps(body["profile"], sort_keys=True))
        latest[json.dumps(body["profile"], sort_keys=True)] = body["version"]
        return lie("PUT" if body["version"] > 1 and known is None else "GET", status, header, body)

    return told


def test_a_name_that_is_given_twice_is_found(target):
    """It fails the request as well as the check."""

    def lie(status, header, body):
        return (201, header, {"id": 1, "name": "x"}) if status == 409 else (status, header, body)

    seen = played_against(target, lie, REGISTRATION, 3, users=USERS)

    assert failed(seen) == {"CHECK unique_names", "POST /users (taken)"}


def test_a_write_that_was_carried_out_all_the_same_is_no_finding(target):
    """Writes whose answers were lost count as perhaps made; profiles and notes go on being checked."""
    lost = iter(range(10**6))

    def lie(status, header, body):
        written = (status == 201 and "text" in body) or body.get("version", 1) > 1
        return (504, header, {}) if written and next(lost) % 3 == 0 else (status, header, body)

    seen = played_against(target, lie, API, ROUNDS, users=USERS)

    assert {name for name in failed(seen) if name.startswith("CHECK")} == set()
    assert {"POST /users/:id/notes", f"PUT {PROFILE}"} <= failed(seen)


def test_no_evidence_shows_a_token_or_a_password(target):
    """Whatever fails, the texts of failures have no user's token in them."""
    tokens: list[str] = []

    def lie(status, header, body):
        tokens.extend([body["token"]] if "token" in body else [])
        return status, header, {**body, **({"user": 0} if "token" in body else {})}

    seen = played_against(target, lie, API, 2)

    assert "CHECK session" in failed(seen)
    assert tokens
    assert not any(token in json.dumps(seen) for token in tokens)
