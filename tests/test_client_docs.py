"""docs/client.md: its example runs, and what its tables name is there."""

import re
from pathlib import Path

import pytest
from locust.env import Environment

from loadproof import errors
from loadproof.client.user import LoadUser
from loadproof.client.websockets import WebSocket

pytest_plugins = ("conforming", "speaking")
pytestmark = pytest.mark.timeout(60)

PAGE = (Path(__file__).parent.parent / "docs" / "client.md").read_text(encoding="utf-8")
[EXAMPLE] = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)

ATTRIBUTES = (
    *("insecure", "authorities", "client_certificate", "default_headers", "max_redirects"),
    *("connection_timeout", "network_timeout", "total_timeout"),
    *("proxy_host", "proxy_port", "source_addresses"),
)


def test_the_example_runs(clients, speaker, ledger):
    """Every task of it does all that it says, against a server that answers as it expects."""
    written = {"__name__": "visitor"}
    exec(EXAMPLE, written)  # what the page tells its readers to type
    user = written["Visitor"](Environment(host=speaker))

    for task in dict.fromkeys(user.tasks):
        task(user)

    assert clients.books().ok == 4
    [interval] = ledger.intervals
    assert {(key.method, key.name, key.outcome.value) for key in interval.series} == {
        ("GET", "/items", "ok"),
        ("POST", "/orders", "ok"),
        ("GET", "/orders/:id", "ok"),
        ("WEBSOCKET", "live", "ok"),
    }
    checked = {key.check: (counts.passed, counts.failed) for key, counts in interval.checks.items()}
    assert checked == dict.fromkeys(user.checks, (1, 0))
    user.client.close()


def test_named_attributes_exist():
    """What the page calls an attribute of a user class, of its client or of a WebSocket is one."""
    for name in ATTRIBUTES:
        assert f"`{name}" in PAGE
        assert hasattr(LoadUser, name)
    for name in re.findall(r"^\| `ws\.(\w+)", PAGE, re.MULTILINE):
        assert hasattr(WebSocket, name)


def test_every_error_is_told():
    """The table of errors is the tree of RequestError."""
    told = set(re.findall(r"^\| `(\w+Error)` \|", PAGE, re.MULTILINE))

    assert told == {
        kind.__name__
        for kind in errors.RequestError.__subclasses__()
        if kind.__module__ == "loadproof.errors"
    }
