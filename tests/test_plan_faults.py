"""The `faults` of a plan: what is read, what is refused, and what `--duration` makes of it."""

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from planning import faults, mistakes, read, write

from loadproof.plan.model import Fault, Phase
from loadproof.plan.reader import Overrides
from loadproof.plan.scaling import scale_duration

MANY = """\
faults:
  - {kind: latency, at: 10s, for: 5s, latency: 200ms, jitter: 50ms}
  - {kind: latency, at: 12s, for: 5s, latency: 1s}
  - {kind: switch, name: database-down, at: 0s, for: 1m, set: {slow: 200ms, errors: 0.5, down: true}}
  - {kind: pause, at: 20s, for: 30s}
  - {kind: bandwidth, name: latency-3, at: 20s, for: 1s, bandwidth: 100kB/s}
  - {kind: latency, at: 1s, for: 1s, latency: 1s}
  - {kind: command, at: 1s, for: 1s, command: "touch it", revert: rm it, timeout: 3s}
"""


def small(faults, target="embedded"):
    return (
        f"name: small\nsuite: governance\ntarget: {target}\n"
        f"load:\n  - {{phase: steady, duration: 1m, users: 10}}\n{faults}"
    )


def test_faults_are_read(tmp_path):
    """Each has its kind's settings in base units and a name of its own, a written one before one that follows."""
    found = read(tmp_path, small(MANY)).faults

    assert [fault.name for fault in found] == [
        "latency",
        "latency-2",
        "database-down",
        "pause",
        "latency-3",
        "latency-4",
        "command",
    ]
    assert [(fault.at_us, fault.for_us, fault.until_us) for fault in found[:2]] == [
        (10_000_000, 5_000_000, 15_000_000),
        (12_000_000, 5_000_000, 17_000_000),
    ]
    assert [fault.settings for fault in found] == [
        {"latency": 200_000, "jitter": 50_000},
        {"latency": 1_000_000},
        {"set": {"slow": "200ms", "errors": 0.5, "down": True}},
        {"of": "target"},
        {"bandwidth": 100_000},
        {"latency": 1_000_000},
        {"command": "touch it", "revert": "rm it", "timeout": 3_000_000},
    ]


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("{kind: pause, of: target, at: 0s, for: 1m}", ""),
        ("{kind: refuse, at: 0s, for: 1m}", ""),
        (
            "{kind: latncy, at: 0s, for: 1s}",
            "7:12 there is no fault of kind `latncy` (did you mean `latency`?)",
        ),
        ("{knd: pause, at: 0s, for: 1s}", "7:5 a fault needs `kind` (write `kind` in place of `knd`)"),
        ("pause", None),
        ("{kind: [pause], at: 0s, for: 1s}", None),
        ("{kind: pause, at: 0s}", "7:5 a fault of kind `pause` needs `for`"),
        ("{kind: pause, at: 10, for: 1s}", None),
        ("{kind: pause, at: 1s, for: 0s}", None),
        (
            "{kind: pause, at: 1s, fr: 1s}",
            "7:27 unknown key `fr` in a fault of kind `pause` (did you mean `for`?)",
        ),
        ("{kind: pause, of: worker, at: 1s, for: 1s}", "7:23 `of` must be `target`, not `worker`"),
        ("{kind: latency, at: 1s, for: 1s}", "7:5 a fault of kind `latency` needs `latency`"),
        (
            "{kind: latency, at: 1s, for: 1s, latency: 1ms, jitter: 2ms}",
            "7:60 `jitter` must be at most `latency`: nothing comes before it was sent",
        ),
        (
            "{kind: bandwidth, at: 1s, for: 1s, bandwidth: 100kB}",
            "7:51 `bandwidth` must be a rate such as 100kB/s, not `100kB`",
        ),
        ("{kind: bandwidth, at: 1s, for: 1s, bandwidth: 0B/s}", None),
        (
            "{kind: switch, at: 1s, for: 1s, set: {}}",
            (
                "7:42 `set` must be a mapping of the target's switches to values, not an empty mapping "
                "(for example {slow: 200ms, errors: 0.2})"
            ),
        ),
        (
            "{kind: switch, at: 1s, for: 1s, set: {Slow!: 1}}",
            "7:43 `Slow!` is not the name of a switch",
        ),
        (
            "{kind: switch, at: 1s, for: 1s, set: {slow: [1]}}",
            "7:49 the switch `slow` needs a number, a text, true or false, not a list",
        ),
        ("{kind: switch, at: 1s, for: 1s, set: {errors: .nan}}", None),
        (
            "{kind: memory_load, at: 1s, for: 1s, memory: 512}",
            "7:50 `memory` must be a size such as 512MB, not `512`",
        ),
        ("{kind: memory_load, at: 1s, for: 1s, memory: 0B}", None),
        ("{kind: cpu_load, at: 1s, for: 1s, cores: 1.5}", ""),
        ("{kind: cpu_load, at: 1s, for: 1s, cores: 80%}", ""),
        (
            "{kind: cpu_load, at: 1s, for: 1s, cores: 101%}",
            ("7:46 `cores` must be a number of cores such as 1.5, or a share of all such as 80%, not `101%`"),
        ),
        ("{kind: cpu_load, at: 1s, for: 1s, cores: 0}", None),
        ("{kind: cpu_load, at: 1s, for: 1s, cores: [1]}", None),
        ("{kind: file_load, at: 1s, for: 1s, size: 1MB}", ""),
        ("{kind: file_load, at: 1s, for: 1s, rate: 1MB/s}", None),
        ("{kind: network_load, at: 1s, for: 1s, rate: 1MB}", None),
        ("{kind: squeeze, at: 1s, for: 1s, cores: 10%}", ""),
        (
            "{kind: squeeze, at: 1s, for: 1s}",
            "7:5 a fault of kind `squeeze` needs `cores` or `memory`",
        ),
        ("{kind: container_limits, at: 1s, for: 1s, container: a}", None),
        ("{kind: container_pause, at: 1s, for: 1s}", None),
        ("{kind: partition, at: 1s, for: 1s, namespace: a, address: 198.18.0.1, port: 80}", ""),
        (
            "{kind: partition, at: 1s, for: 1s, namespace: a, address: b}",
            "7:63 `address` must be an address or a network such as 198.18.0.0/15, not `b`",
        ),
        (
            "{kind: partition, at: 1s, for: 1s, namespace: a, port: 0}",
            "7:60 `port` must be a port from 1 to 65535, not `0`",
        ),
        (
            (
                "{kind: container_kill, at: 1s, for: 2s, container: a}\n"
                "  - {kind: container_pause, at: 2s, for: 2s, container: a}"
            ),
            (
                "8:5 the faults `container_kill` and `container_pause` overlap, and both break the processes of the "
                "container `a` (let one begin when the other is over)"
            ),
        ),
        (
            (
                "{kind: container_kill, at: 1s, for: 2s, container: a}\n"
                "  - {kind: container_pause, at: 2s, for: 2s, container: b}"
            ),
            "",
        ),
        ("{kind: squeeze, at: 1s, for: 2s, cores: 1}\n  - {kind: restart, at: 2s, for: 1s}", None),
        ("{kind: command, at: 1s, for: 1s, command: x}", "7:5 a fault of kind `command` needs `revert`"),
        ("{kind: pause, name: a b, at: 1s, for: 1s}", None),
        (
            "{kind: pause, at: 50s, for: 11s}",
            ("7:5 the fault `pause` would end after the plan, which lasts 60 s (it would last until 61 s)"),
        ),
        (
            "{kind: refuse, name: a, at: 1s, for: 1s}\n  - {kind: reset, name: a, at: 1s, for: 1s}",
            "8:25 there is already a fault `a` in line 7 (give it another name)",
        ),
        (
            "{kind: pause, at: 1s, for: 2s}\n  - {kind: kill, at: 2s, for: 1s}",
            (
                "8:5 the faults `pause` and `kill` overlap, and both break the target's processes "
                "(let one begin when the other is over)"
            ),
        ),
        ("{kind: pause, at: 1s, for: 1s}\n  - {kind: pause, at: 2s, for: 1s}", ""),
        (
            (
                "{kind: switch, at: 1s, for: 2s, set: {slow: 1s}}\n"
                "  - {kind: switch, at: 0s, for: 2s, set: {errors: 1, slow: 2s}}"
            ),
            (
                "8:5 the faults `switch` and `switch-2` overlap, and both break the switch `slow` "
                "(let one begin when the other is over)"
            ),
        ),
        (
            (
                "{kind: switch, at: 1s, for: 2s, set: {slow: 1s}}\n"
                "  - {kind: switch, at: 0s, for: 2s, set: {errors: 1}}"
            ),
            "",
        ),
    ],
)
def test_every_mistake_is_told_in_its_place(tmp_path, fault, said):
    """One mistake each, where it stands, with what to do; None where only that it is one matters."""
    found = mistakes(tmp_path, small(f"faults:\n  - {fault}\n"))

    assert found == ([said] if said else []) if said is not None else len(found) == 1


@pytest.mark.parametrize(
    ("fault", "target", "said"),
    [
        ("latency, latency: 1s", "https://a.test", None),
        ("kill", "http://127.0.0.1:80", "a run kills only the target that it has started"),
        ("restart", "http://127.0.0.1:80", "a run kills only the target that it has started"),
        ("pause", "https://a.test", None),
        ("latency, latency: 1s", "http://a.test", None),
    ],
)
def test_a_fault_must_fit_the_target(tmp_path, fault, target, said):
    """What cannot be broken on such a target is refused with the plan."""
    found = mistakes(tmp_path, small(f"faults: [{{kind: {fault}, at: 1s, for: 1s}}]\n", target))

    assert [said in text for text in found] == ([True] if said else [])


def test_the_duration_stretches_faults_with_the_phases(tmp_path):
    """What began in the middle of a phase still does, and lasts as large a part of it."""
    text = small("faults: [{kind: pause, at: 15s, for: 30s}, {kind: kill, at: 45s, for: 15s}]\n")

    def scaled(duration):
        faults = read(tmp_path, text, Overrides(duration=duration)).faults
        return [(fault.at_us, fault.for_us) for fault in faults]

    assert scaled("2m") == [(30_000_000, 60_000_000), (90_000_000, 30_000_000)]
    assert scaled("6s") == [(1_500_000, 3_000_000), (4_500_000, 1_500_000)]


@given(st.data(), st.integers(1_000_000, 10**10), st.integers(1_000_000, 10**10))
def test_stretched_faults_stay_inside_and_apart(tmp_path_factory, data, planned_us, duration_us):
    """Whatever the factor: none ends after the plan, and none that followed another overlaps it by more than rounding."""
    broken = data.draw(faults(planned_us))
    base = read(tmp_path_factory.getbasetemp(), small(""))
    phase = Phase(name="a", duration_us=planned_us, users_from=1, users_to=1)
    plan = scale_duration(base.model_copy(update={"load": (phase,), "faults": broken}), duration_us)

    assert all(fault.for_us >= 1 and fault.until_us <= duration_us for fault in plan.faults)
    ordered = [end for fault in plan.faults for end in (fault.at_us, fault.at_us + fault.for_us - 1)]
    assert ordered == sorted(ordered)


def test_a_fault_needs_no_settings_that_its_kind_has_defaults_for():
    """The model is as small as the plan."""
    assert Fault(kind="reset", name="reset", at_us=0, for_us=1).settings == {}


def test_validate_tells_what_is_broken_on_purpose(tmp_path):
    """In order of time, with what it does and how long."""
    write(tmp_path, small(MANY))
    done = subprocess.run(
        [sys.executable, "-m", "loadproof", "validate", "./plan.yaml"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout.partition("broken on purpose\n")[2].splitlines() == [
        "      0 µs  database-down: switch slow=200ms errors=0.5 down=True, for 60 s",
        "       1 s  latency-4: latency 1 s, for 1 s",
        "       1 s  command touch it, revert rm it, timeout 3 s, for 1 s",
        "      10 s  latency 200 ms, jitter 50 ms, for 5 s",
        "      12 s  latency-2: latency 1 s, for 5 s",
        "      20 s  pause of target, for 30 s",
        "      20 s  latency-3: bandwidth 100 kB/s, for 1 s",
    ]
