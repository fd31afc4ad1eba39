"""The metrics of a run on a real port: who is answered, who is not, and when it ends."""

from __future__ import annotations

import time
import urllib.error
import urllib.request

import gevent
import pytest
from gevent.event import Event
from judging import plan_of
from linking import Peer, linked, until
from measuring import small_interval

from distributed import metrics_server
from distributed.clock import RunClock
from distributed.metrics_server import MetricsAddress, MetricsServer, plain
from distributed.placement import Seat
from distributed.trouble import Trouble
from loadproof.cli.metrics_address import metrics_address
from loadproof.errors import UsageError

LOOPBACK = MetricsAddress("127.0.0.1", 0)
RULES = ("p95 <= 2s", "p99 <= 5s", "max <= 1ms")


@pytest.fixture(autouse=True)
def _patient(monkeypatch):
    """Whoever lingers for its time alone does so longer than any test waits, and a busy machine ends nothing early."""
    monkeypatch.setattr(metrics_server, "LINGER_S", 3_600.0)


@pytest.fixture
def serve():
    served = []

    def begin(address=LOOPBACK, plan=None):
        plan = plan or plan_of(*RULES)
        served.append(MetricsServer(address, plan, "judged-1", Trouble(plan)))
        return served[-1]

    yield begin
    for server in served:
        server.close()


def scrape(server, token=None, path="/metrics"):
    """Status and text, asked from a thread as the server needs this one."""
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    request = urllib.request.Request(f"http://127.0.0.1:{server.port}{path}", headers=headers)

    def ask():
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    return gevent.get_hub().threadpool.apply(ask)


def test_a_run_is_told_of_before_it_begins(serve):
    """Before there is a master the run is waiting, with no worker up; what workers tell is added."""
    server = serve()
    server.add(Seat("eu-west-1-01", "eu-west-1"), small_interval(0))
    status, text = scrape(server)

    assert status == 200
    assert 'loadproof_run_state{state="waiting"} 1.0' in text
    assert 'loadproof_worker_up{region="eu-west-1",worker="eu-west-1-01"} 0.0' in text
    assert 'loadproof_requests_started_total{region="eu-west-1"} 4.0' in text


def test_a_token_is_asked_for(serve):
    """Who does not have it learns nothing, and is no scrape."""
    server = serve(MetricsAddress("127.0.0.1", 0, "t0ken"))

    assert scrape(server)[0] == 401
    assert scrape(server, "wrong")[0] == 401
    assert scrape(server, "t0ken")[0] == 200
    assert scrape(server, "t0ken", "/")[0] == 404


def test_addresses_are_written_as_they_are():
    """An IPv4 address that a socket for both kinds tells of is one of IPv4; others stay as they are."""
    assert [plain(text) for text in ("10.0.0.7", "::ffff:10.0.0.7", "fd00::2")] == [
        "10.0.0.7",
        "10.0.0.7",
        "fd00::2",
    ]


def test_a_lost_worker_makes_the_verdict_so_far_invalid(serve, tmp_path):
    """While it is there its host is discovered; when its process is gone, so is it, and its journal has no end."""
    with linked(tmp_path) as home:
        server = serve(plan=home.master.plan)
        server.follow(home.master)
        worker = Peer(home, "east-01").join()
        home.master.begin_load(RunClock(time.monotonic_ns()))
        until(lambda: "east-01" in scrape(server, path="/workers")[1])
        before = scrape(server)[1]
        home.master.roster.lose("east-01", "its process ended")
        after = scrape(server)[1]

        assert scrape(server, path="/workers") == (200, "[]")
        assert 'loadproof_worker_up{region="east",worker="east-01"} 1.0' in before
        assert 'loadproof_verdict_so_far{verdict="INVALID"} 1.0' not in before
        assert 'loadproof_worker_up{region="east",worker="east-01"} 0.0' in after
        assert 'loadproof_verdict_so_far{verdict="INVALID"} 1.0' in after
        worker.client.close()


def test_nobody_is_waited_for_who_never_came(serve):
    """Without a scrape during the run its end is the end."""
    server = serve()
    waiting = gevent.spawn(server.linger, Event())
    waiting.join(timeout=30)

    assert waiting.successful()


def test_the_end_is_seen_three_times(serve):
    """Once scraped, it stays for three more scrapes, which say that the run has ended only when a master was there."""
    server = serve()
    scrape(server)
    waiting = gevent.spawn(server.linger, Event())
    gevent.sleep(0)
    for _ in range(2):
        scrape(server)
        assert not waiting.ready()
    scrape(server)
    waiting.join(timeout=30)

    assert waiting.successful()


def test_a_signal_ends_the_waiting(serve):
    """Who presses Ctrl-C once more need not wait for Prometheus."""
    server = serve()
    scrape(server)
    asked = Event()
    waiting = gevent.spawn(server.linger, asked)
    gevent.sleep(0)
    asked.set()
    waiting.join(timeout=30)

    assert waiting.successful()


def test_off_loopback_it_needs_a_token(serve):
    """Metrics are not opened to a network by mistake."""
    with pytest.raises(
        UsageError, match=r"metrics at 0\.0\.0\.0:0 would be open to the network: give a token"
    ):
        serve(MetricsAddress("0.0.0.0", 0))
    assert serve(MetricsAddress("0.0.0.0", 0, "t0ken")).port


def test_a_port_that_is_taken_is_named(serve):
    """The run does not begin unwatched."""
    port = serve().port
    with pytest.raises(UsageError, match=f"metrics cannot be served at 127.0.0.1:{port}: "):
        serve(MetricsAddress("127.0.0.1", port))


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (None, None),
        ("9646", MetricsAddress("127.0.0.1", 9646)),
        (":9646", MetricsAddress("127.0.0.1", 9646)),
        ("10.0.0.5:9646", MetricsAddress("10.0.0.5", 9646)),
        ("[::1]:9646", MetricsAddress("::1", 9646)),
    ],
)
def test_addresses_are_read(said, expected):
    """A port alone is on loopback."""
    assert metrics_address(said, None) == expected


@pytest.mark.parametrize("said", ["", "http", "10.0.0.5", "9646:", "127.0.0.1:65536", "127.0.0.1:-1", "٣"])
def test_what_is_no_address_is_said(said):
    """Bad usage, in one line that shows how it is written."""
    with pytest.raises(UsageError, match="is not an address: write 9646, or"):
        metrics_address(said, None)


def test_a_token_is_read_from_its_file(tmp_path):
    """Without the line's end; a file that holds none, or is none, is bad usage."""
    (tmp_path / "token").write_text("t0ken\n")
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "bytes").write_bytes(b"\xff\xfe")

    assert metrics_address("9646", tmp_path / "token").token == "t0ken"
    for name, said in (("empty", "holds no token"), ("bytes", "it is no text"), ("none", "No such file")):
        with pytest.raises(UsageError, match=said):
            metrics_address("9646", tmp_path / name)
    with pytest.raises(UsageError, match="--metrics-token goes with --metrics"):
        metrics_address(None, tmp_path / "token")
