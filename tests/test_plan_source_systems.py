"""What the source systems call things: ACGS's JSON form and the environment names of each suite."""

import json

import pytest
from commands import loadproof
from planning import SMALL, mistakes, read

from loadproof.plan.builtin import resolve
from loadproof.plan.overrides import Overrides
from loadproof.plan.reader import read_plan

ACGS = {
    "TARGET_HOST": "http://acgs.example.test:8080",
    "TARGET_RPS": 1500,
    "CONSTITUTIONAL_COMPLIANCE_MONITORING": True,
    "LOAD_TEST_NODES": [
        {"host": "10.0.0.1", "workers": 4, "max_users": 1000, "region": "us-east-1"},
        {"host": "10.0.0.2", "workers": 4, "max_users": 1000, "region": "us-east-1"},
        {"host": "10.0.0.3", "workers": 2, "max_users": 2500, "region": "eu-west-1"},
    ],
}
SURVIVAL = SMALL.replace("suite: governance", "suite: survival")


def custom(folder, form):
    file = folder / "custom.json"
    file.write_text(json.dumps(form))
    return Overrides(config_file=file)


def rules(plan):
    return [rule.text for rule in plan.rules]


def test_the_json_form_is_an_overlay_of_a_governance_plan(tmp_path):
    """Target, the limit of the rate rule, and nodes as regions with their workers and users; C28."""
    base = read_plan(resolve("distributed"), environ={})
    plan = read_plan(resolve("distributed"), custom(tmp_path, ACGS), environ={})

    assert plan.target == "http://acgs.example.test:8080"
    assert [(region.name, region.workers, region.max_users) for region in plan.regions] == [
        ("us-east-1", 8, 2000),
        ("eu-west-1", 2, 2500),
    ]
    assert rules(plan) == ["rate >= 1500/s" if text == "rate >= 1000/s" else text for text in rules(base)]
    assert plan.load == base.load


@pytest.mark.parametrize(
    ("form", "added", "removed"),
    [
        ({"CONSTITUTIONAL_COMPLIANCE_MONITORING": False}, [], ["check(compliance) >= 95%"]),
        ({"CONSTITUTIONAL_COMPLIANCE_MONITORING": True}, [], []),
        ({"TARGET_RPS": 0.5}, ["rate >= 0.5/s"], ["rate >= 1000/s"]),
    ],
)
def test_each_key_changes_what_it_names(tmp_path, form, added, removed):
    """Monitoring puts the compliance rule in or out; a rate replaces one."""
    before = set(rules(read_plan(resolve("enterprise"), environ={})))
    after = set(rules(read_plan(resolve("enterprise"), custom(tmp_path, form), environ={})))

    assert (sorted(after - before), sorted(before - after)) == (added, removed)


def test_rules_that_are_missing_are_added(tmp_path):
    """A plan without a rate or compliance rule gets them; windows and selectors are other rules."""
    text = (
        SMALL
        + "rules: ['rate >= 5/s for 10s', 'rate{phase=steady} >= 5/s', {rule: 'rate >= 9/s, goal >= 10/s', optional: true}]\n"
    )
    form = {"TARGET_RPS": 7, "CONSTITUTIONAL_COMPLIANCE_MONITORING": True}
    plan = read(tmp_path, text, custom(tmp_path, form))

    assert rules(plan) == [
        "rate >= 5/s for 10s",
        "rate{phase=steady} >= 5/s",
        "rate >= 7/s",
        "check(compliance) >= 95%",
    ]
    assert [rule.optional for rule in plan.rules] == [False, False, True, False]


@pytest.mark.parametrize(
    ("form", "said"),
    [
        (
            {"TARGET_RSP": 1, "TARGET_HOST": "a.test"},
            "1:2 unknown key `TARGET_RSP` in a configuration of ACGS",
        ),
        ({"TARGET_RPS": "many"}, "1:17 the requests a second must be a number above 0, not `many`"),
        ({"TARGET_RPS": 0}, "1:16 the requests a second must be a number above 0, not `0`"),
        ({"TARGET_HOST": "ftp://x"}, "1:18 `target` must be `embedded` or start with http://"),
        (
            {"CONSTITUTIONAL_COMPLIANCE_MONITORING": "yes"},
            "1:43 `CONSTITUTIONAL_COMPLIANCE_MONITORING` must be true or false, not `yes`",
        ),
        ({"LOAD_TEST_NODES": [{"workers": 1}]}, "1:22 a node needs `region`"),
        ({"LOAD_TEST_NODES": [{"region": "r", "workers": 0}]}, "1:49 `workers` must be from 1 to 10,000"),
        ({"LOAD_TEST_NODES": {}}, "1:21 `LOAD_TEST_NODES` must be a list of nodes, not a mapping"),
        (
            {"LOAD_TEST_NODES": [{"region": "r", "max_users": 9}, {"region": "r", "max_users": 5}]},
            "1:55 the nodes of region `r` take different numbers of users a worker",
        ),
        ({"LOAD_TEST_NODES": [{"region": "EU"}]}, "1:34 `name` must be small letters"),
    ],
)
def test_a_mistake_in_the_json_form_is_said_at_its_place(tmp_path, form, said):
    """Line and column of the configuration, in its own words."""
    found = mistakes(tmp_path, SMALL, custom(tmp_path, form))

    assert len(found) == 1
    assert found[0].startswith(said), found


def test_the_json_form_is_no_plan(tmp_path):
    """Given as the plan itself, it says how it is meant."""
    [found] = mistakes(tmp_path, json.dumps(ACGS), name="custom.json")

    assert "this is a configuration of ACGS, not a plan (lay it over one: --config-file " in found


def test_the_json_form_is_for_its_own_suite(tmp_path):
    """A plan of another suite is not changed by it, and says why."""
    [found] = mistakes(tmp_path, SURVIVAL, custom(tmp_path, ACGS))

    assert "a configuration of ACGS belongs to plans of the suite `governance`" in found


NAMES = {
    "ACGS_TARGET_HOST": "acgs.example.test",
    "ACGS_TARGET_RPS": "1200",
    "ACGS_TEST_DURATION": "3m",
    "CONSTITUTIONAL_COMPLIANCE_MONITORING": "true",
    "AZORA_API_URL": "http://azora.example.test:3000",
    "STRESS_TEST_DURATION": "10",
    "MAX_CONCURRENCY": "40",
}


def test_governance_reads_the_names_of_acgs(tmp_path):
    """C20 to C24: target, rate, length, compliance; nothing of another suite."""
    plan = read(tmp_path, SMALL, environ=NAMES)

    assert plan.target == "http://acgs.example.test"
    assert rules(plan) == ["rate >= 1200/s", "check(compliance) >= 95%"]
    assert (plan.duration_us, plan.max_users) == (180_000_000, 10)


def test_survival_reads_the_names_of_azora(tmp_path):
    """A21 to A23: URL, minutes and concurrency; nothing of another suite."""
    plan = read(tmp_path, SURVIVAL, environ=NAMES)

    assert plan.target == "http://azora.example.test:3000"
    assert (plan.duration_us, plan.max_users, plan.rules) == (600_000_000, 40, ())


@pytest.mark.parametrize("suite", ["suite: heavy_load", "locustfile: own.py"])
def test_other_plans_read_neither(tmp_path, suite):
    """The names of a source system are general: only its own suite heeds them."""
    text = SMALL.replace("suite: governance", suite)

    assert read(tmp_path, text, environ=NAMES) == read(tmp_path, text, environ={})


def test_a_flag_wins_over_our_variable_and_that_over_the_suites_and_that_over_files(tmp_path):
    """Flag, LOADPROOF_..., the suite's name, configuration file, plan: each loses to the one before."""
    text = SMALL + "target: http://plan.test\n"
    flags = custom(tmp_path, {"TARGET_HOST": "http://file.test", "TARGET_RPS": 5})
    acgs = {"ACGS_TARGET_HOST": "http://acgs.test", "ACGS_TARGET_RPS": "6"}
    ours = {**acgs, "LOADPROOF_TARGET": "http://ours.test"}
    last = Overrides(config_file=flags.config_file, target="http://flag.test", set=("rules=[rate >= 7/s]",))

    assert [
        (plan.target.removeprefix("http://").removesuffix(".test"), rules(plan))
        for plan in (
            read(tmp_path, text),
            read(tmp_path, text, flags),
            read(tmp_path, text, flags, acgs),
            read(tmp_path, text, flags, ours),
            read(tmp_path, text, last, ours),
        )
    ] == [
        ("plan", []),
        ("file", ["rate >= 5/s"]),
        ("acgs", ["rate >= 6/s"]),
        ("ours", ["rate >= 6/s"]),
        ("flag", ["rate >= 7/s"]),
    ]


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("ACGS_TARGET_RPS", "fast", "ACGS_TARGET_RPS: the requests a second must be a number above 0"),
        ("ACGS_TEST_DURATION", "30", "ACGS_TEST_DURATION=30: `duration` must be a duration"),
        ("ACGS_TARGET_HOST", "a b", "ACGS_TARGET_HOST: `target` must be a URL without blanks"),
        ("CONSTITUTIONAL_COMPLIANCE_MONITORING", "1", "CONSTITUTIONAL_COMPLIANCE_MONITORING: "),
    ],
)
def test_a_mistake_names_the_variable_that_was_set(tmp_path, name, text, said):
    """Not ours, when it was the suite's."""
    [found] = mistakes(tmp_path, SMALL, environ={name: text})

    assert found.startswith(said), found


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({"LOCUST_MASTER_HOST": "10.9.8.7", "LOCUST_MASTER_PORT": "5999"}, "10.9.8.7 is not"),
        ({"LOCUST_MASTER_NODE_HOST": "10.9.8.6", "LOCUST_MASTER_HOST": "10.9.8.7"}, "10.9.8.6 is not"),
        ({"LOCUST_MASTER_PORT": "x"}, "LOCUST_MASTER_PORT=x: a port is a number from 1 to 65535"),
        ({"LOCUST_MASTER_PORT": "x", "LOCUST_MASTER_NODE_PORT": "0"}, "LOCUST_MASTER_NODE_PORT=0: a port"),
    ],
)
def test_a_worker_takes_its_master_from_either_name(tmp_path, environ, said):
    """C25 and C26: the names of ACGS beside Locust's own, which win."""
    done = loadproof("worker", "--region", "eu", cwd=tmp_path, **environ)

    assert done.returncode == 2
    assert said in done.stderr
