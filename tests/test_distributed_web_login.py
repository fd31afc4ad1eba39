"""Tokens, links, sessions and guesses of the web UI, and the check before its pages."""

import pytest

from distributed.web.gate import Gate
from distributed.web.login import ADDRESSES, GUESS_S, GUESSES, SESSIONS, Login


def test_a_link_works_once():
    """It gives a session to the first who shows it, and nothing to anybody after."""
    login = Login(None)
    link, other = login.new_link(), login.new_link()
    session = login.spend_link(link)

    assert session is not None
    assert login.is_session(session)
    assert login.spend_link(link) is None
    assert login.spend_link("") is None
    assert login.spend_link(other) is not None
    assert link not in session


def test_only_the_token_logs_in():
    """A token that is not there is nobody's, not even the empty one."""
    login = Login("s3cret")
    session = login.log_in("s3cret")

    assert session is not None
    assert login.is_session(session)
    assert login.log_in("s3cre") is login.log_in("") is login.log_in("S3CRET") is login.log_in("é") is None
    assert Login(None).log_in("") is None
    assert not login.is_session("")


def test_the_oldest_session_makes_room():
    """A process keeps a hundred of them."""
    login = Login("s3cret")
    sessions = [login.log_in("s3cret") for _ in range(SESSIONS + 1)]

    assert not login.is_session(sessions[0])
    assert all(login.is_session(session) for session in sessions[1:])


def test_guesses_are_counted_by_address_and_forgotten():
    """Ten in a minute from one address; others are not held up, and the memory of them is bounded."""
    now = [0.0]
    login = Login("s3cret", now=lambda: now[0])
    for _ in range(GUESSES):
        assert login.may_guess("10.0.0.1")
        login.guessed_wrong("10.0.0.1")

    assert not login.may_guess("10.0.0.1")
    assert login.may_guess("10.0.0.2")
    now[0] = GUESS_S + 1
    assert login.may_guess("10.0.0.1")
    for number in range(2 * ADDRESSES):
        login.guessed_wrong(f"10.1.{number // 256}.{number % 256}")
    assert len(login._guesses) == ADDRESSES


def through(gate, **environ):
    """Status and headers of one request."""
    said = {}

    def start_response(status, headers, exc_info=None):
        said.update(status=int(status.split()[0]), headers=dict(headers))

    said["body"] = b"".join(
        gate(
            {
                "REQUEST_METHOD": "GET",
                "PATH_INFO": "/",
                "HTTP_HOST": "127.0.0.1:8089",
                "REMOTE_ADDR": "10.0.0.9",
            }
            | environ,
            start_response,
        )
    )
    return said


def pages(environ, start_response):
    start_response("200 OK", [("Access-Control-Allow-Origin", "*"), ("Cache-Control", "public")])
    return [b"pages"]


def gate_at(host, token="s3cret"):
    return Gate(pages, Login(token), host, 8089, lambda address: None)


HOSTS = [
    ("127.0.0.1", "127.0.0.1:8089", True),
    ("127.0.0.1", "localhost:8089", True),
    ("127.0.0.1", "localhost:9000", True),
    ("127.0.0.1", "[::1]:8089", True),
    ("127.0.0.1", "10.0.0.5:8089", False),
    ("127.0.0.1", "evil.example", False),
    ("127.0.0.1", "127.0.0.1.evil.example", False),
    ("127.0.0.1", "localhost@evil.example", False),
    ("127.0.0.1", "[", False),
    ("127.0.0.1", "", False),
    ("0.0.0.0", "10.0.0.5:8089", True),
    ("0.0.0.0", "[fd00::5]", True),
    ("0.0.0.0", "localhost:18089", True),
    ("0.0.0.0", "evil.example:8089", False),
    ("loads.example", "loads.example:8089", True),
    ("loads.example", "LOADS.example:8089", True),
]


@pytest.mark.parametrize(("bound", "host", "ours"), HOSTS)
def test_a_name_that_could_be_rebound_is_not_ours(bound, host, ours):
    """Addresses cannot be given to somebody else in the DNS; of names only those that we know are taken."""
    said = through(gate_at(bound), HTTP_HOST=host, HTTP_AUTHORIZATION="Bearer s3cret")

    assert said["status"] == (200 if ours else 421)


def test_the_pages_words_to_other_origins_are_taken_out():
    """What Locust says to any origin is not passed on, and nothing is kept in a cache."""
    headers = through(gate_at("127.0.0.1"), HTTP_AUTHORIZATION="Bearer s3cret")["headers"]

    assert "Access-Control-Allow-Origin" not in headers
    assert headers["Cache-Control"] == "no-store"
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"


def test_a_browser_is_shown_where_to_log_in():
    """With a token a form, without one the word where links are; both with the status of a refusal."""
    by_token = through(gate_at("127.0.0.1"), HTTP_ACCEPT="text/html")
    by_link = through(gate_at("127.0.0.1", token=None), HTTP_ACCEPT="text/html")

    assert by_token["status"] == by_link["status"] == 401
    assert b'type="password"' in by_token["body"]
    assert b"one-time link" in by_link["body"]
    assert b"<form" not in by_link["body"]


def test_a_look_at_a_link_does_not_spend_it():
    """Programs that preview links ask with HEAD."""
    login = Login(None)
    gate = Gate(pages, login, "127.0.0.1", 8089, lambda address: None)
    link = login.new_link()
    through(gate, PATH_INFO="/login", QUERY_STRING=f"link={link}", REQUEST_METHOD="HEAD")
    said = through(gate, PATH_INFO="/login", QUERY_STRING=f"link={link}")

    assert said["status"] == 303
    cookie = said["headers"]["Set-Cookie"].partition(";")[0]
    assert through(gate, HTTP_COOKIE=cookie)["body"] == b"pages"
    assert through(gate, HTTP_COOKIE=f"{cookie}x")["status"] == 401
    assert through(gate, HTTP_COOKIE="a=b; \x00=;;")["status"] == 401
