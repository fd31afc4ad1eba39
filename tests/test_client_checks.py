"""Checks: counted apart from requests, skipped without an answer, never an accident of their own."""

import pytest
from locust.env import Environment

from loadproof.client.books import books
from loadproof.client.user import LoadUser
from loadproof.errors import UndeclaredNameError
from loadproof.measure.interval import CheckKey
from loadproof.measure.recorder import Recorder


class Scenario(LoadUser):
    host = "http://127.0.0.1"
    checks = ("hash",)
    metrics = ("score",)


class Answer:
    def __init__(self, status):
        self.status_code = status
        self.ok = status < 400


@pytest.fixture
def recorder(monkeypatch):
    recorder = Recorder((), lambda: 5, [("steady", 0)])
    monkeypatch.setattr(books, "recorder", recorder)
    return recorder


def counts(recorder):
    interval = recorder.close_interval()
    found = interval.checks[CheckKey("Scenario", "hash", "steady")]
    return (found.passed, found.failed, found.skipped), [sample.detail for sample in interval.evidence]


def test_a_check_is_counted_by_its_outcome(recorder):
    """True passes, False fails, and the detail of the failed one is kept."""
    user = Scenario(Environment())

    assert user.check("hash", True)
    assert not user.check("hash", lambda: False, on=Answer(200), detail=lambda: "saw deadbeef")
    assert counts(recorder) == ((1, 1, 0), ["saw deadbeef"])


@pytest.mark.parametrize("status", [0, 404, 500])
def test_a_check_without_an_answer_is_skipped(recorder, status):
    """A refused connection (status 0, which Locust calls ok) and an error answer leave nothing to look at."""
    user = Scenario(Environment())

    assert not user.check("hash", lambda: 1 / 0, on=Answer(status))
    assert counts(recorder) == ((0, 0, 1), [])


def test_a_check_that_stumbles_has_failed(recorder):
    """An exception in the check is its finding, and one in its detail loses nothing but the detail."""
    user = Scenario(Environment())
    user.check("hash", lambda: {}["missing"], detail=lambda: {}["also"])

    (passed, failed, skipped), [detail] = counts(recorder)
    assert (passed, failed, skipped) == (0, 1, 0)
    assert "KeyError: 'missing'" in detail


@pytest.mark.parametrize(
    "use", [lambda user: user.check("hsah", True), lambda user: user.metric("scroe", 1.0)]
)
def test_a_name_that_is_not_declared_is_an_error_of_the_run(recorder, use):
    """A misspelt name raises in the task and is kept as what makes the run INVALID."""
    with pytest.raises(UndeclaredNameError, match="declared: "):
        use(Scenario(Environment()))

    [text] = recorder.close_interval().undeclared
    assert "Scenario" in text


def test_in_plain_locust_a_failed_check_is_a_failure_of_type_check():
    """Without a loadproof run, Locust's own failures show it; a passed check leaves no trace."""
    environment = Environment()
    seen = []
    environment.events.request.add_listener(
        lambda request_type, name, exception, **_: seen.append((request_type, name, str(exception)))
    )
    user = Scenario(environment)
    user.check("hash", True)
    user.check("hash", False, detail="saw deadbeef")

    assert seen == [("CHECK", "hash", "check hash failed: saw deadbeef")]
