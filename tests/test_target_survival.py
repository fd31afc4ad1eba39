"""Registration, sign-in and use of the API; and what of it goes on while each component is gone."""

from __future__ import annotations

import concurrent.futures
import time
from pathlib import Path

import pytest
from databases import STORES, options_of
from living import PASSWORD, ailing, await_ailing, born, sign_in
from serving import serving

from loadproof.plan.faults import SWITCHED
from target.components import POLICIES
from target.memory import BUDGET_BYTES
from target.switches import HELD

COMPONENTS = {
    "database_down": "database",
    "gateway_timeout": "gateway",
    "memory_pressure": "memory",
    "component_crash": "passwords",
    "state_corruption": "profiles",
    "storage_down": "storage",
    "config_missing": "configuration",
}
NEVER = dict.fromkeys(HELD, False)


@pytest.fixture(scope="module", params=STORES)
def target(request, tmp_path_factory):
    options = options_of(request, request.param)
    with serving(*options, folder=tmp_path_factory.mktemp("survival")) as served:
        yield served


@pytest.fixture
def client(target):
    with target.client() as client:
        yield client
        client.put("/switches", json=NEVER)
        await_ailing(client)


@pytest.fixture
def user(client, request):
    living = born(client, request.node.name.translate(str.maketrans("[]/ ", "----"))[-60:].lower())
    assert living.write(colour="red").status_code == 200
    assert living.note("first").status_code == 201
    assert living.read().json()["profile"] == {"colour": "red"}
    assert len(living.notes().json()["items"]) == 1
    return living


def switch(client, name, *ill):
    """Turn the switch on, and wait until the components `ill` are seen to be gone."""
    assert client.put("/switches", json={name: True}).status_code == 200
    if ill:
        await_ailing(client, *ill)


def heal(client):
    client.put("/switches", json=NEVER)
    await_ailing(client)


def resident_bytes(target) -> int:
    """Of all its server processes."""
    return sum(
        int(line.split()[1]) * 1024
        for pid in target.processes()
        for line in Path(f"/proc/{pid}/status").read_text().splitlines()
        if line.startswith("VmRSS")
    )


def test_each_switch_is_a_fault_kind_and_takes_a_component_that_has_a_policy():
    """Kinds of a plan, switches of the target and components with their policies are the same seven."""
    assert tuple(kind.replace("-", "_") for kind in SWITCHED) == HELD == tuple(COMPONENTS)
    assert tuple(POLICIES) == tuple(COMPONENTS.values())


def test_a_user_registers_signs_in_and_uses_what_is_theirs(client):
    """What is written is read back, by its writer only; a version that is not the stored one is refused."""
    ada = born(client, "ada")
    bob = born(client, "bob")

    assert ada.read().json() == {"profile": {}, "version": 1}
    assert ada.write(colour="red").json() == {"profile": {"colour": "red"}, "version": 2}
    assert ada.read().json() == {"profile": {"colour": "red"}, "version": 2}
    late = {"profile": {}, "if_version": 1}
    assert client.put(f"/users/{ada.id}/profile", json=late, headers=ada.headers).status_code == 409
    assert [ada.note(text).status_code for text in ("one", "two")] == [201, 201]
    assert [note["text"] for note in ada.notes().json()["items"]] == ["two", "one"]
    assert bob.notes().json() == {"items": [], "offset": 0, "limit": 20, "total": 0}
    assert client.get(f"/users/{ada.id}/notes", headers=bob.headers).status_code == 403


def test_a_name_is_given_once_however_many_ask_at_the_same_time(target):
    """Of twenty registrations of one name at once one is 201 and the others are 409."""
    with target.client() as client, concurrent.futures.ThreadPoolExecutor(20) as pool:
        asked = [
            pool.submit(client.post, "/users", json={"name": "wanted", "password": PASSWORD})
            for _ in range(20)
        ]
        statuses = sorted(each.result().status_code for each in asked)

    assert statuses == [201, *[409] * 19]


@pytest.mark.parametrize(
    "token", ["0", "1", "1.99999999999.0", "1.99999999999." + "0" * 64, "é", "..", "1..", "x.y.z"]
)
def test_a_token_that_was_not_signed_here_is_refused(client, token):
    """401, whatever it looks like."""
    answer = client.get("/users/1/profile", headers={"Authorization": f"Bearer {token}".encode()})

    assert answer.status_code == 401


def test_a_wrong_password_and_a_wrong_name_are_one_answer(client, user):
    """Nobody learns from it who is registered."""
    wrong = client.post("/sessions", json={"name": "nobody", "password": PASSWORD})
    name = client.post("/sessions", json={"name": "ada", "password": PASSWORD[::-1]})

    assert (wrong.status_code, wrong.json()) == (name.status_code, name.json())
    assert wrong.status_code == 401


def test_while_the_database_is_lost_reads_are_the_last_known_and_writes_are_503(client, user):
    """All rooms lose it; what was written before is there after, and nothing that was refused is."""
    switch(client, "database_down", "database")
    reads = [user.read(), user.notes()]
    writes = [user.write(colour="blue"), user.note("second"), sign_in(client, "ada")]
    health = client.get("/gateway/health").status_code
    policies = client.get("/policies")
    heal(client)

    assert [(answer.status_code, answer.headers["Degraded"]) for answer in reads] == [(200, "database")] * 2
    assert reads[0].json()["profile"] == {"colour": "red"}
    assert [answer.status_code for answer in writes] == [503] * 3
    assert all(int(answer.headers["Retry-After"]) > 0 for answer in (*writes, policies))
    assert (health, policies.status_code) == (503, 503)
    after = user.read()
    assert (after.json()["profile"], after.headers.get("Degraded")) == ({"colour": "red"}, None)
    assert [note["text"] for note in user.notes().json()["items"]] == ["first"]


def test_a_gateway_that_waits_in_vain_says_504_after_its_deadline(client, user):
    """A write really waits; reads wait once, and are then the last known at once."""
    switch(client, "gateway_timeout")
    begun = time.monotonic()
    write = user.write(colour="blue")
    waited = time.monotonic() - begun
    reads = [user.read() for _ in range(20)]
    ill = ailing(client)
    client.put("/switches", json=NEVER)
    # A read asks the backend again, after its pause.
    while "Degraded" in user.read().headers:
        time.sleep(0.05)

    assert (write.status_code, write.json()["error"]["code"]) == (504, "gateway_timeout")
    assert waited >= 2.0
    assert {(read.status_code, read.headers["Degraded"]) for read in reads} == {(200, "gateway")}
    assert ill == {"gateway"}
    assert user.write(colour="blue").status_code == 200


def test_under_memory_pressure_memory_is_really_taken_and_writes_are_shed(target, client, user):
    """Each process has more than its budget, reads go on, and all of it is given back."""
    before = resident_bytes(target)
    switch(client, "memory_pressure", "memory")
    taken = resident_bytes(target)
    answers = [user.read(), user.notes(), user.write(colour="blue"), sign_in(client, "ada")]
    heal(client)

    assert before < BUDGET_BYTES < taken
    assert [answer.status_code for answer in answers] == [200, 200, 503, 503]
    assert "Degraded" not in answers[0].headers
    assert all(answer.headers["Retry-After"] for answer in answers[2:])
    assert user.write(colour="blue").status_code == 200
    assert resident_bytes(target) < (before + taken) / 2


def test_when_the_password_process_crashes_only_sign_ins_are_refused(client, user):
    """It is really killed, as often as it comes back; who is signed in goes on, and afterwards another is started."""
    pid = client.get("/health").json()["components"]["passwords"]["detail"]
    switch(client, "component_crash", "passwords")
    answers = [sign_in(client, "ada"), user.read(), user.write(colour="blue"), user.note("second")]
    heal(client)
    again = sign_in(client, "ada")

    assert [answer.status_code for answer in answers] == [503, 200, 200, 201]
    assert again.status_code == 200
    assert client.get("/health").json()["components"]["passwords"]["detail"] not in {pid, "ok"}


def test_damaged_profiles_are_served_from_their_copies_and_put_right(client, user):
    """Nothing is lost: what was written before and during it is read during it and after."""
    switch(client, "state_corruption", "profiles")
    first = user.read()
    written = user.write(colour="blue")
    second = user.read()
    heal(client)

    assert (first.json()["profile"], first.headers["Degraded"]) == ({"colour": "red"}, "profiles")
    assert written.status_code == 200
    assert (second.json()["profile"], second.headers["Degraded"]) == ({"colour": "blue"}, "profiles")
    assert (user.read().json()["profile"], user.read().headers.get("Degraded")) == ({"colour": "blue"}, None)


def test_what_could_not_be_logged_is_logged_when_the_storage_is_back(target, client, user):
    """Requests go on without it, and no line is lost."""

    def lines():
        return sum(
            path.read_text().count(f" /users/{user.id}/")
            for path in target.folder.glob("*/storage/activity-*")
        )

    before = lines()
    switch(client, "storage_down")
    while list(target.folder.glob("*/storage")):
        time.sleep(0.01)
    writes = [user.note(str(number)).status_code for number in range(5)]
    ill = ailing(client)
    heal(client)

    assert writes == [201] * 5
    assert ill == {"storage"}
    assert (before, lines()) == (2, 7)


def test_without_its_configuration_the_service_goes_on_by_what_it_said_last(target, client, user):
    """A page is as long as it was; what the file says after is heeded."""
    [file] = target.folder.glob("*/service.json")
    file.write_text('{"notes_per_page": 7}')
    assert user.notes().json()["limit"] == 7
    switch(client, "config_missing", "configuration")
    without = user.notes()
    heal(client)
    file.write_text("{")
    await_ailing(client, "configuration")
    damaged = user.notes()
    file.write_text("{}")
    await_ailing(client)

    assert (without.status_code, without.json()["limit"]) == (200, 7)
    assert (damaged.status_code, damaged.json()["limit"]) == (200, 7)
    assert user.notes().json()["limit"] == 20


def test_whoever_was_never_answered_gets_no_invented_answer(client):
    """The last known answer is the user's own to exactly this: without one a read is 503."""
    living = born(client, "newcomer")
    switch(client, "database_down", "database")

    assert living.read().status_code == 503
