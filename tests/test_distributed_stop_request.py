"""Wishes for the end of a run that lie in its folder, however badly they are written."""

import json

import gevent
import pytest

from distributed.stop_request import LONGEST, NAME, ask_stop, heed_requests


def heard(folder, until=1):
    """What is handed on of the wishes in this folder."""
    requests = []
    greenlet = gevent.spawn(heed_requests, folder, requests.append)
    with gevent.Timeout(30):
        while len(requests) < until or (folder / NAME).exists():
            gevent.sleep(0.01)
    greenlet.kill()
    return requests


def test_a_wish_is_heard_once(tmp_path):
    """With who and why, and its file is gone."""
    ask_stop(tmp_path, "the pager rang", at_once=True)

    [request] = heard(tmp_path)
    assert request.why == "the pager rang"
    assert request.at_once
    assert " on " in request.who
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "text",
    [
        *("", "stop!", "[]", "null", "{}", '{"who": "a"}', "\x00\xff"),
        json.dumps({"who": "a" * 10_000, "why": {"b": "c" * 10_000}, "at_once": 1}),
    ],
)
def test_any_wish_is_a_wish(tmp_path, text):
    """Whoever could write there wants the end: what cannot be read still ends the run, in order."""
    (tmp_path / NAME).write_text(text, encoding="latin-1")

    [request] = heard(tmp_path)
    assert not request.at_once
    assert len(request.who) <= LONGEST
    assert len(request.why) <= LONGEST
