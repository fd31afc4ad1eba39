"""Plans for tests: a small one, what is wrong with a text, and any plan that can be written."""

import string
from dataclasses import replace

from hypothesis import strategies as st

from loadproof.errors import PlanError
from loadproof.plan import guards
from loadproof.plan.model import (
    PARTS,
    ArrivalProcess,
    Fault,
    Guard,
    Phase,
    Plan,
    Prometheus,
    Region,
    RuleText,
    Tolerate,
)
from loadproof.plan.reader import Overrides, load_plan, read_plan

SMALL = """\
name: small
suite: governance
load:
  - {phase: steady, duration: 1m, users: 10}
"""


def write(folder, text, name="plan.yaml"):
    file = folder / name
    if isinstance(text, bytes):
        file.write_bytes(text)
    else:
        file.write_text(text, encoding="utf-8")
    return file


def read(folder, text, overrides=None, environ=None, name="plan.yaml"):
    """The plan of a text, under an environment that is empty unless given."""
    return read_plan(write(folder, text, name), overrides or Overrides(), environ or {})


def mistakes(folder, text, overrides=None, environ=None, name="plan.yaml"):
    """Every mistake as `line:column message (hint)`, without the place where it has none."""
    try:
        load_plan(write(folder, text, name), overrides or Overrides(), environ or {})
    except PlanError as error:
        return [_shown(mistake) for mistake in error.mistakes]
    return []


def _shown(mistake):
    at = mistake.position
    place = f"{at.line}:{at.column} " if at else ""
    return place + str(replace(mistake, position=None))


def without_positions(plan):
    return plan.model_copy(
        update={"rules": tuple(rule.model_copy(update={"position": None}) for rule in plan.rules)}
    )


NAMES = st.text(string.ascii_lowercase + string.digits + "-", min_size=1, max_size=20).filter(
    lambda name: not name.startswith("-")
)
PHASE_NAMES = st.text(string.ascii_letters + string.digits + "_.-", min_size=1, max_size=20).filter(
    lambda name: name[0] in string.ascii_letters + string.digits
)
TEXTS = (
    (
        st.text(st.characters(exclude_categories=("Cs", "Cc", "Zl", "Zp")), min_size=1, max_size=40)
        | st.sampled_from(
            ["on", "1e3", "0o17", "12:30:00", "null", "${A}", "$${", "- x", "a: b", "# x", "'", '"']
        )
    )
    .map(str.strip)
    .filter(bool)
)
USERS = st.integers(0, 3_000) | st.integers(0, 10_000_000)
DURATIONS = st.integers(1, 10_000_000) | st.integers(1_000_000, 86_400_000_000)
RATES = st.integers(0, 3_000).map(lambda rate: rate * 1_000_000) | st.integers(0, 10**12)
WEIGHTS = st.integers(0, 100).map(float) | st.floats(0, 1e9)


@st.composite
def loads(draw, durations=DURATIONS, users=USERS, max_size=5):
    names = draw(st.lists(PHASE_NAMES, min_size=1, max_size=max_size, unique=True))
    load = []
    for name in names:
        first = draw(users)
        last = draw(st.just(first) | users)
        load.append(
            Phase(
                name=name,
                duration_us=draw(durations),
                users_from=first,
                users_to=last,
                warmup=draw(st.booleans()),
                pace_us=draw(st.none() | DURATIONS),
            )
        )
    if not any(phase.users_from or phase.users_to for phase in load):
        load[0] = load[0].model_copy(update={"users_to": 1})
    return tuple(load)


@st.composite
def open_loads(draw, durations=DURATIONS, rates=RATES, max_size=5):
    """Phases with arrivals, at least one of them above 0."""
    names = draw(st.lists(PHASE_NAMES, min_size=1, max_size=max_size, unique=True))
    load = []
    for name in names:
        users, first = draw(st.integers(1, 3_000)), draw(rates)
        load.append(
            Phase(
                name=name,
                duration_us=draw(durations),
                users_from=users,
                users_to=users,
                warmup=draw(st.booleans()),
                arrivals_from=first,
                arrivals_to=draw(st.just(first) | rates),
            )
        )
    if not any(phase.arrivals_from or phase.arrivals_to for phase in load):
        load[0] = load[0].model_copy(update={"arrivals_to": 1_000_000})
    return tuple(load)


SETTINGS = {
    "switch": st.fixed_dictionaries(
        {
            "set": st.dictionaries(
                st.sampled_from(["slow", "errors", "a1_b"]),
                st.booleans() | st.integers(0, 10**6) | st.floats(0, 1) | TEXTS,
                min_size=1,
            )
        }
    ),
    "latency": st.tuples(DURATIONS, st.none() | st.integers(1, 100)).map(
        lambda pair: (
            {"latency": pair[0] + 100} if pair[1] is None else {"latency": pair[0] + 100, "jitter": pair[1]}
        )
    ),
    "bandwidth": st.fixed_dictionaries({"bandwidth": st.integers(1, 10**12)}),
    "refuse": st.just({}),
    "slow_close": st.fixed_dictionaries({"delay": DURATIONS}),
    "memory_load": st.fixed_dictionaries({"memory": st.integers(1, 10**15)}),
    "cpu_load": st.fixed_dictionaries({"cores": st.sampled_from(["1", "0.5", "80%"])}),
    "file_load": st.fixed_dictionaries(
        {"size": st.integers(1, 10**15)}, optional={"rate": st.integers(1, 10**12), "folder": TEXTS}
    ),
    "network_load": st.fixed_dictionaries({"rate": st.integers(1, 10**12)}),
    "container_pause": st.fixed_dictionaries({"container": TEXTS}),
    "container_limits": st.fixed_dictionaries(
        {"container": TEXTS, "memory": st.integers(1, 10**15)},
        optional={"cores": st.sampled_from(["2", "10%"])},
    ),
    "container_disconnect": st.fixed_dictionaries({"container": TEXTS}, optional={"network": TEXTS}),
    "partition": st.fixed_dictionaries(
        {"namespace": TEXTS},
        optional={
            "address": st.sampled_from(["198.18.0.0/15", "198.18.0.1/32", "fd00::/8"]),
            "port": st.integers(1, 65_535),
        },
    ),
    "command": st.fixed_dictionaries({"command": TEXTS, "revert": TEXTS}, optional={"timeout": DURATIONS}),
}


@st.composite
def faults(draw, duration_us):
    """One after the other, so that no two break the same."""
    ends = sorted(draw(st.sets(st.integers(0, duration_us), max_size=6)))
    found = []
    for at_us, until_us in zip(ends[::2], ends[1::2], strict=False):
        kind = draw(st.sampled_from([*SETTINGS, "pause"]))
        settings = {"of": "target"} if kind == "pause" else draw(SETTINGS[kind])
        name = draw(st.sampled_from([kind, "a.b_c-D"])) + f"-{len(found) + 2}"
        found.append(Fault(kind=kind, name=name, at_us=at_us, for_us=until_us - at_us, settings=settings))
    return tuple(found)


@st.composite
def plans(draw, load=loads()):  # noqa: B008 a strategy is immutable
    phases = draw(load)
    peak = max(max(phase.users_from, phase.users_to) for phase in phases)
    regions = tuple(
        Region(
            name=name,
            workers=draw(st.integers(1, 40)),
            max_users=draw(st.none() | st.integers(peak, 10_000_000)),
            weight=draw(st.none() | WEIGHTS.filter(bool)),
        )
        for name in draw(st.lists(NAMES, min_size=1, max_size=5, unique=True))
    )
    scenarios = st.dictionaries(
        st.sampled_from(["PolicyUser", "null", "true", "Äpfel", "A1"]),
        WEIGHTS.filter(bool),
        min_size=1,
    )
    is_suite = draw(st.booleans())
    path = draw(st.text(string.ascii_letters + " ./#:", min_size=1, max_size=20))
    target = draw(st.sampled_from(["embedded", "https://a.test", "http://127.0.0.1:80/x", "http://[::1]:80"]))
    broken = draw(faults(sum(phase.duration_us for phase in phases)))
    return Plan(
        name=draw(NAMES),
        title=draw(TEXTS),
        suite=draw(st.sampled_from(["governance", "heavy_load", "on"])) if is_suite else None,
        locustfile=None
        if is_suite
        else "/suites/" + path.replace("/", "").replace("..", "").strip() + "x.py",
        target=target,
        load=phases,
        scenarios=draw(st.none() | scenarios),
        regions=regions,
        rules=tuple(
            RuleText(
                text=text,
                optional=draw(st.booleans()),
                abort=(delay_us := draw(st.none() | st.just(0) | DURATIONS)) is not None,
                delay_us=delay_us or 0,
            )
            for text in draw(st.lists(TEXTS, max_size=4))
        ),
        prometheus=draw(
            st.none()
            | st.builds(
                Prometheus,
                url=st.sampled_from(["http://127.0.0.1:9090", "https://a.test/prometheus"]),
                token=st.none() | st.just("PROM_TOKEN"),
                resources=st.dictionaries(st.sampled_from(["target.cpu", "db.x-y"]), TEXTS, max_size=2),
            )
        ),
        seed=draw(st.none() | st.integers(0, 2**63 - 1)),
        stop_timeout_us=draw(st.none() | DURATIONS),
        allow_hosts=tuple(draw(st.lists(st.sampled_from(["a.test", "127.0.0.1", "::1", "10"]), max_size=3))),
        guards=tuple(
            Guard(name=name, **{level: draw(st.integers(1, PARTS)) for level in levels})
            for name, levels in draw(
                st.dictionaries(
                    st.sampled_from(guards.NAMES), st.sampled_from([("stop",), ("warn",)]), max_size=4
                )
            ).items()
        ),
        faults=() if target.startswith("https") else broken,
        tolerate=Tolerate(torn_epochs=draw(st.integers(0, 5))),
        arrival_process=draw(st.sampled_from(ArrivalProcess))
        if phases[0].arrivals_from is not None
        else ArrivalProcess.CONSTANT,
    )
