"""The integrity scenario against the real target, its planted faults, and one that lies."""

from __future__ import annotations

import hashlib
import json

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st
from playing import played, played_against
from serving import serving

from locustfiles.governance.chain import BEFORE_FIRST, entry_hash, fault_in

INTEGRITY = "integrity.IntegrityUser"
ROUNDS = 8
USERS = 2
NAMES = {
    "POST /audit/entries",
    "GET /audit/entries",
    "GET /audit/verify",
    "GET /audit/head",
    "GET /audit/key",
}
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))


@pytest.fixture(scope="module")
def target(tmp_path_factory):
    with serving("--processes", "2", folder=tmp_path_factory.mktemp("integrity")) as served:
        yield served


def failed(seen: dict[str, dict]) -> set[str]:
    return {name for name, entry in seen.items() if entry["failed"]}


def test_every_request_and_check_succeeds_on_the_real_target(target):
    """All five endpoints are requested by their templates, the key once a user; every chain is whole."""
    seen = played(INTEGRITY, target.url, ROUNDS, "all", users=USERS)
    counts = httpx.get(target.url + "/counts", params={"run": "all"}).json()["counts"]

    assert set(seen) == NAMES
    assert failed(seen) == set()
    assert counts == {name: entry["ok"] for name, entry in seen.items()}
    assert seen["GET /audit/key"]["ok"] == USERS
    assert seen["GET /audit/verify"]["ok"] == ROUNDS * USERS


@pytest.mark.parametrize(
    ("switch", "check", "text"),
    [
        ("broken_link", "audit_chain", "does not follow the entry before it"),
        ("bad_signature", "audit_chain", "has a wrong signature"),
        ("wrong_hash", "hash_consistency", "header cdd01ef066bc6cf0, body cdd01ef066bc6cf0"),
    ],
)
def test_a_planted_fault_is_found(target, switch, check, text):
    """What the target is told to get wrong fails its check each time, with the evidence, and no request."""
    played(INTEGRITY, target.url, 2)  # so that every range has a link in it
    httpx.put(target.url + "/switches", json={switch: 3})
    seen = played(INTEGRITY, target.url, ROUNDS)

    assert failed(seen) == {f"CHECK {check}"}
    # A range that a user finds broken while the service says that it is whole is a second finding.
    assert 3 <= seen[f"CHECK {check}"]["failed"] <= 6
    assert text in seen[f"CHECK {check}"]["text"]
    assert httpx.get(target.url + "/switches").json()[switch] == 0


def each_item(change):
    """A lie that changes every entry of every range and every appended one."""

    def lie(status, header, body):
        for item in body.get("items", [body] if "entry" in body else []):
            change(item)
        return status, header, body

    return lie


def forged(item) -> None:
    """Another entry with the right hash, but not signed with the key that was told."""
    item["entry"]["actor"] = "nobody"
    item["hash"] = entry_hash(item["previous"], item["entry"])
    item["signature"] = KEY.sign(bytes.fromhex(item["hash"])).hex()


def lie_by_losing(status, header, body):
    """The trail's end is cut off, where each user's latest entries are."""
    body["items"] = body["items"][:-3] if "items" in body else None
    return status, header, body


def lie_by_skipping(status, header, body):
    if len(body.get("items", [])) > 2:
        del body["items"][1]
    return status, header, body


def lie_in_the_head(status, header, body):
    if set(body) == {"seq", "hash", "constitutional_hash"}:
        body["seq"] = max(0, body["seq"] - 20)
    return status, header, body


def lie_in_the_heads_hash(status, header, body):
    if set(body) == {"seq", "hash", "constitutional_hash"}:
        body["hash"] = "00" * 32
    return status, header, body


def lie_about_the_key(status, header, body):
    if "public_key" in body:
        body["public_key"] = KEY.public_key().public_bytes_raw().hex()
    return status, header, body


def lie_with_no_key(status, header, body):
    if "public_key" in body:
        body["public_key"] = "zz"
    return status, header, body


def lie_that_it_is_broken(status, header, body):
    if "first_bad" in body:
        body.update(ok=False, first_bad=body["first"], fault="hash")
    return status, header, body


def lie_about_the_range(status, header, body):
    if "first_bad" in body:
        body["last"] -= 1
    return status, header, body


@pytest.mark.parametrize(
    "lie",
    [
        each_item(lambda item: item["entry"].update(actor="nobody")),
        each_item(lambda item: item["entry"].update(time_us=0)),
        each_item(lambda item: item["entry"]["payload"].update(record=1.0)),
        each_item(lambda item: item.update(hash="00" * 32)),
        each_item(lambda item: item.update(previous="11" * 32)),
        each_item(lambda item: item.update(signature="")),
        each_item(lambda item: item.update(signature="nonsense")),
        each_item(lambda item: item.update(seq=item["seq"] + 1)),
        each_item(lambda item: item.pop("entry")),
        each_item(forged),
        lie_by_losing,
        lie_by_skipping,
        lie_in_the_head,
        lie_in_the_heads_hash,
        lie_about_the_key,
        lie_with_no_key,
        lie_that_it_is_broken,
        lie_about_the_range,
    ],
)
def test_a_lie_is_found(target, lie):
    """A target that answers 200 with something wrong in it fails the check, and no request and no other check."""
    seen = played_against(target, lie, INTEGRITY, 3)

    assert failed(seen) == {"CHECK audit_chain"}


def signed_anew(items, *, actor: str | None = None) -> None:
    """Entries as a service would have them that has another key, and perhaps another past."""
    before = None
    for item in items:
        if actor is not None:
            item["entry"]["actor"] = actor
            item["previous"] = before or item["previous"]
            item["hash"] = before = entry_hash(item["previous"], item["entry"])
        item["signature"] = KEY.sign(bytes.fromhex(item["hash"])).hex()


@pytest.mark.parametrize(
    ("appended", "listed", "checks"),
    [
        (None, None, set()),
        (None, "nobody", {"CHECK audit_chain"}),
        ("nobody", None, {"CHECK audit_chain"}),
    ],
)
def test_a_rewritten_past_is_found(target, appended, listed, checks):
    """Whoever has the key can make a chain that is whole, but not one with our entries in it as we appended them."""

    def lie(status, header, body):
        if "items" in body:
            signed_anew(body["items"], actor=listed)
        elif "entry" in body:
            signed_anew([body], actor=appended)
        return lie_about_the_key(status, header, body)

    assert failed(played_against(target, lie, INTEGRITY, 3)) == checks


def test_errors_are_no_findings(tmp_path):
    """A target that answers some requests with 500 fails these and no check."""
    with serving("--switch", "errors=0.2", folder=tmp_path) as served:
        seen = played(INTEGRITY, served.url, ROUNDS, users=USERS)

    assert failed(seen)
    assert failed(seen) <= NAMES


def chained(actors: list[str]) -> list[dict]:
    """A trail that is whole, made here and not by the target."""
    items = []
    before = BEFORE_FIRST
    for seq, actor in enumerate(actors, 1):
        entry = {"seq": seq, "time_us": seq, "actor": actor, "action": "é", "payload": {"n": seq}}
        text = json.dumps(entry, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        mark = hashlib.sha256(bytes.fromhex(before) + text.encode()).digest()
        items.append(
            {
                "seq": seq,
                "previous": before,
                "hash": mark.hex(),
                "signature": KEY.sign(mark).hex(),
                "entry": entry,
            }
        )
        before = mark.hex()
    return items


ACTORS = st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=5), min_size=3, max_size=6)


@settings(max_examples=40, deadline=None)
@given(actors=ACTORS, data=st.data())
def test_only_a_whole_range_passes(actors, data):
    """Any part of a trail passes from its own position, and no longer when two entries change places or one goes."""
    items = chained(actors)
    first = data.draw(st.integers(1, len(items)))
    one, other = data.draw(
        st.lists(st.integers(0, len(items) - 1), min_size=2, max_size=2, unique=True).map(sorted)
    )
    swapped = items.copy()
    swapped[one], swapped[other] = items[other], items[one]
    key = KEY.public_key()

    assert fault_in(key, first, items[first - 1 :]) is None
    assert fault_in(key, 1, swapped) is not None
    assert fault_in(key, 1, items[:one] + items[one + 1 :]) is not None
    assert fault_in(key, first + 1, items[first - 1 :]) is not None
    assert fault_in(Ed25519PrivateKey.generate().public_key(), 1, items) == "entry 1 has a wrong signature"


def test_the_first_entry_follows_nothing():
    """An entry at position 1 that names one before it is no first entry."""
    items = chained(["a", "b"])
    entry = {**items[1]["entry"], "seq": 1}
    mark = entry_hash(items[0]["hash"], entry)
    second = {
        "seq": 1,
        "previous": items[0]["hash"],
        "hash": mark,
        "signature": KEY.sign(bytes.fromhex(mark)).hex(),
        "entry": entry,
    }

    assert fault_in(KEY.public_key(), 1, [second]) == "entry 1 does not follow the entry before it"
