"""The networks that the cluster tests stand on: a cut that cut nothing would let every one of them pass."""

import subprocess
import sys

import pytest
from namespaces import SWITCH, names, nobody_sweeps, remove_left, routed
from wan import wan

HOSTS = ("master", "target", "east-01")


@pytest.fixture(
    scope="module", params=[routed, lambda *hosts: wan(*hosts, delay_ms=20)], ids=["routed", "wan"]
)
def network(request):
    with request.param(*HOSTS) as opened:
        yield opened


def test_hosts_reach_each_other(network):
    """And each by an address of its own."""
    pairs = [(one, other) for one in HOSTS for other in HOSTS]

    assert all(network.round_trip_s(one, other) is not None for one, other in pairs)
    assert len(set(network.address.values())) == len(HOSTS)


def test_a_cut_drops_every_packet_of_that_link_alone(network):
    """Both ways, until it is healed; without a word to who sends."""
    network.cut("master", "east-01")

    assert network.round_trip_s("master", "east-01") is None
    assert network.round_trip_s("east-01", "master") is None
    assert network.round_trip_s("east-01", "target") is not None
    assert network.round_trip_s("master", "target") is not None
    network.heal("master", "east-01")
    assert network.round_trip_s("master", "east-01") is not None


def test_a_host_can_be_cut_off_from_all(network):
    """And come back."""
    network.cut("target")

    assert network.round_trip_s("master", "target") is None
    assert network.round_trip_s("target", "east-01") is None
    assert network.round_trip_s("master", "east-01") is not None
    network.heal("target")
    assert network.round_trip_s("master", "target") is not None


def test_a_wan_takes_its_time_both_ways():
    """A round trip is twice the delay at least."""
    with wan("one", "other", delay_ms=100) as network:
        assert network.round_trip_s("one", "other") >= 0.2


def test_a_wan_loses_packets():
    """With every second one lost, some of ten round trips come to nothing and, for this seed, some do not."""
    with wan("one", "other", delay_ms=1, loss=0.5, seed=5) as network:
        came = [network.round_trip_s("one", "other", 0.2) is not None for _ in range(10)]

    assert len(set(came)) == 2


@pytest.mark.parametrize("kind", [routed, lambda *hosts: wan(*hosts, delay_ms=1)], ids=["routed", "wan"])
def test_nothing_is_left_of_a_test_that_fails(kind):
    """Neither a namespace nor a process in one."""
    with pytest.raises(RuntimeError, match="as a test"), kind("one", "other") as network:  # noqa: PT012 the block is what fails
        sleeper = subprocess.Popen(network.command("one", "sleep", 1_000))
        mine = [name for name in names() if name.startswith(network.prefix)]
        assert {name.removeprefix(network.prefix) for name in mine} - {SWITCH} == {"one", "other"}
        raise RuntimeError("as a test fails")

    assert [name for name in names() if name.startswith(network.prefix)] == []
    assert sleeper.wait(timeout=5) != 0


def test_what_a_killed_test_left_is_swept_up():
    """Its namespaces by the next test, its processes by the kernel."""
    script = (
        "import os, sys, time\n"
        f"sys.path[:] = {sys.path!r}\n"
        "from namespaces import Routed\n"
        "Routed('one', 'other').open()\n"
        "print(os.getpid(), flush=True)\n"
        "time.sleep(600)\n"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as doomed:
        try:
            prefix = f"lp{int(doomed.stdout.readline())}."
        finally:
            doomed.kill()
            with nobody_sweeps():
                doomed.wait()
                left = [name for name in names() if name.startswith(prefix)]
                remove_left()

    assert len(left) == 3
    assert not [name for name in names() if name.startswith(prefix)]
