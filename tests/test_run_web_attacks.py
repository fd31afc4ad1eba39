"""Whoever has no business with the web UI of a run gets nothing from it, and the run does not feel it."""

import contextlib
import socket

import httpx
import pytest
from browsing import PLAN, live, served, wait_for_state
from commands import manifest, run_folder, start, wait_until


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    """A run of a master that goes on with workers of their own, and a client that is logged in."""
    folder = tmp_path_factory.mktemp("attacked")
    words = ("--port", "0", "--autoquit", "0", "--no-analysis")
    plan = PLAN.replace("57s", "297s")
    with served(folder, *words, plan=plan, verb="master") as process, contextlib.ExitStack() as ending:
        link = process.link()
        client = process.log_in()
        place = process.said(r"workers? at (127\.0\.0\.1:\d+)")
        assert live(client)["state"] == "waiting for workers: 0 of 2 are here"
        for region in ("us-east-1", "eu-west-1"):
            worker = ending.enter_context(start("worker", "--master", place, "--region", region, cwd=folder))
            ending.callback(worker.kill)
        wait_for_state(client, "ready")
        assert client.post("/stop").json()["message"] == "no run goes on"
        assert client.post("/swarm").json()["success"]
        wait_for_state(client, "steady")
        yield process, client, link


def port_of(client):
    return client.base_url.port


def asked(client, method, path, *, cookie=True, headers=None, **more):
    """One request of a stranger: without the client's own cookie and origin unless said."""
    said = {"Host": f"127.0.0.1:{port_of(client)}"}
    if cookie:
        said["Cookie"] = "; ".join(f"{name}={value}" for name, value in client.cookies.items())
    said |= headers or {}
    return httpx.request(
        method, f"{str(client.base_url).rstrip('/')}{path}", headers=said, timeout=20, **more
    )


PATHS = (
    *("/", "/assets/favicon-light.png", "/static/anything", "/loadproof/live", "/loadproof/tabs.js"),
    *("/stats/requests", "/stats/report", "/logs", "/exceptions/csv", "/worker-count", "/runs/x/report.html"),
    *(
        "/no/such/page",
        "//",
        "/login/",
        "/login/../swarm",
        "/%6cogin/x",
        "/assets/../stop",
        "/loadproof/../../x",
    ),
)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("cookie", [None, "made-up"])
def test_no_page_is_shown_to_a_stranger(running, path, cookie):
    """Without a cookie or with a wrong one every path, also one that does not exist, answers 401 and no more."""
    _, client, _ = running
    headers = {} if cookie is None else {"Cookie": f"loadproof_{port_of(client)}={cookie}"}
    answer = asked(client, "GET", path, cookie=False, headers=headers)

    assert answer.status_code == 401
    assert "log in at /login" in answer.text
    assert "set-cookie" not in answer.headers


ATTACKS = {
    "no cookie": (("POST", "/stop"), {"own": True, "cookie": False}, 401),
    "a wrong cookie": (
        ("POST", "/stop"),
        {"own": True, "cookie": False, "headers": {"Cookie": "loadproof_8089=x"}},
        401,
    ),
    "a foreign origin": (("POST", "/stop"), {"headers": {"Origin": "https://evil.example"}}, 403),
    "an origin of another port": (("POST", "/stop"), {"headers": {"Origin": "http://127.0.0.1:1"}}, 403),
    "an origin that is none": (("POST", "/stop"), {"headers": {"Origin": "null"}}, 403),
    "no origin at all": (("POST", "/stop"), {"headers": {}}, 403),
    "a page that reads us": (
        ("GET", "/stats/requests"),
        {"headers": {"Origin": "https://evil.example"}},
        403,
    ),
    "a rebound name": (
        ("POST", "/stop"),
        {"headers": {"Host": "evil.example", "Origin": "http://evil.example"}},
        421,
    ),
    "a name like ours": (("GET", "/"), {"headers": {"Host": "localhost.evil.example:8089"}}, 421),
    "no host": (("GET", "/"), {"headers": {"Host": ""}}, 421),
    "a form of another site": (
        ("POST", "/swarm"),
        {"headers": {"Origin": "http://evil.example", "Content-Type": "application/x-www-form-urlencoded"}},
        403,
    ),
    "a fetch of another site": (("POST", "/stop"), {"headers": {"Sec-Fetch-Site": "cross-site"}}, 403),
    "a preflight": (("OPTIONS", "/swarm"), {"headers": {}}, 405),
    "another method": (("PUT", "/swarm"), {"headers": {}}, 405),
    "a wrong bearer": (("POST", "/stop"), {"cookie": False, "headers": {"Authorization": "Bearer x"}}, 401),
    "too much": (("POST", "/swarm"), {"own": True, "content": b"x" * 70_000}, 413),
    "no length": (("POST", "/swarm"), {"own": True, "content": iter([b"x"])}, 413),
    "a GET that starts": (("GET", "/swarm"), {"own": True}, 405),
    "a GET that stops": (("GET", "/stop"), {"own": True}, 405),
    "a GET that resets": (("GET", "/stats/reset"), {"own": True}, 405),
    "other user classes": (("POST", "/user"), {"own": True, "content": b"{}"}, 403),
    "a path out of its folder": (("GET", "/loadproof/..%2f..%2fpyproject.toml"), {"own": True}, 404),
    "a file of another run": (("GET", "/runs/..%2fx/plan.yaml"), {"own": True}, 404),
}


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_is_refused(running, name):
    """Each is refused with the status that says why, says nothing to other origins, and the run goes on."""
    _, client, _ = running
    (method, path), more, status = ATTACKS[name]
    more = dict(more)
    if more.pop("own", False):
        more["headers"] = {"Origin": str(client.base_url).rstrip("/"), **more.get("headers", {})}
    answer = asked(client, method, path, **more)

    assert answer.status_code == status, answer.text
    assert not [header for header in answer.headers if header.startswith("access-control")]
    assert answer.headers["x-frame-options"] == "DENY"
    assert "steady" in live(client)["state"]


@pytest.mark.parametrize(
    ("form", "said"),
    [
        ({"host": "http://evil.example"}, "not changed during a plan: host"),
        ({"user_count": "12", "run_time": "9h"}, "not changed during a plan: run_time"),
        ({"user_classes": "Other", "loglevel": "DEBUG"}, "not changed during a plan: loglevel, user_classes"),
        ({"spawn_rate": "1"}, "a run goes on already"),
    ],
)
def test_what_the_plan_says_is_not_said_by_a_form(running, form, said):
    """Another target, length or class of users is refused in words, and so is a second start."""
    _, client, _ = running
    answer = client.post("/swarm", data=form).json()

    assert answer["success"] is False
    assert said in answer["message"]


def test_a_spent_link_opens_nothing(running):
    """The link that has let one browser in is refused to the next, and nobody is logged in by it."""
    _, _, link = running
    answer = httpx.get(link, headers={"Accept": "text/html"})

    assert answer.status_code == 403
    assert "spent" in answer.text
    assert "set-cookie" not in answer.headers


def test_the_cookie_is_for_our_pages_alone(running):
    """It is hidden from scripts, never sent by another site, and the token is in no address that it leads to."""
    process, client, _ = running
    answer = httpx.get(process.said(r"(http://\S+/login\?link=\S+)"))

    cookie = answer.headers["set-cookie"]
    assert answer.headers["location"] == "/"
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert client.get("/").status_code == 200


def test_a_raw_upgrade_is_no_way_in(running):
    """A request that asks for another protocol is a stranger's request like any other."""
    _, client, _ = running
    with socket.create_connection(("127.0.0.1", port_of(client)), timeout=10) as raw:
        raw.sendall(
            f"GET /stats/requests HTTP/1.1\r\nHost: 127.0.0.1:{port_of(client)}\r\nUpgrade: websocket\r\n"
            "Connection: Upgrade\r\nSec-WebSocket-Key: eA==\r\n\r\n".encode()
        )
        assert raw.recv(100).startswith(b"HTTP/1.1 401 ")


def test_the_page_is_told_of_the_workers(running):
    """Each by its name, with its users, in the words of Locust's page."""
    _, client, _ = running
    stats = wait_until(lambda: (found := client.get("/stats/requests").json())["user_count"] == 12 and found)

    assert stats["state"] == "running"
    assert {(worker["id"], worker["state"]) for worker in stats["workers"]} == {
        ("us-east-1-01", "running"),
        ("eu-west-1-01", "running"),
    }
    assert client.get("/worker-count").json() == {"worker_count": 2}
    assert client.get("/tasks").json()["per_class"]


def test_guesses_are_slowed_down_and_the_run_ends_by_its_own_users(running):
    """After ten wrong guesses an address waits, whoever is in stays in, and only their Stop ends the run."""
    process, client, _ = running
    statuses = [
        asked(client, "GET", "/", cookie=False, headers={"Authorization": f"Bearer {guess}"}).status_code
        for guess in range(15)
    ]

    assert statuses[-1] == 429
    assert set(statuses) == {401, 429}
    assert "steady" in live(client)["state"]
    assert client.post("/stop").json()["success"]
    with contextlib.suppress(httpx.TransportError):
        client.close()
    assert process.end() == 5
    folder = run_folder(process.folder)
    stop = manifest(folder)["stop"]
    assert stop["by"] == "hand"
    assert "web UI" in stop["why"]
    assert "127.0.0.1" in stop["why"]
