"""The plans that come with the suites."""

import subprocess
import sys
from pathlib import Path

import pytest

from loadproof.errors import PlanError
from loadproof.plan.builtin import builtin_plans, resolve
from loadproof.plan.model import Phase, Region
from loadproof.plan.reader import read_plan

SUITES = Path(__file__).parent.parent / "locustfiles"
SECOND_US = 1_000_000


def test_every_plan_beside_a_suite_is_built_in():
    """The names are those of the files, each once."""
    files = sorted(SUITES.glob("*/*.yaml"), key=lambda file: file.stem)
    assert builtin_plans() == {file.stem: file for file in files}
    assert len(builtin_plans()) == len(files)
    assert "enterprise" in builtin_plans()


def test_built_in_plans_hold_what_their_names_say():
    """Each is read without a mistake, and is called as its file and for its folder."""
    for name, path in builtin_plans().items():
        plan = read_plan(path, environ={})
        assert (plan.name, plan.suite) == (name, path.parent.name)


def test_finding_plans_imports_no_suite():
    """A list of plans does not load Locust."""
    code = (
        "import sys; from loadproof.plan.builtin import builtin_plans; builtin_plans(); print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "loadproof.plan.builtin" in done.stdout.split()
    assert not {"locustfiles", "locust", "gevent"} & set(done.stdout.split())


@pytest.mark.parametrize("argument", ["./enterprise", "plans/x", "x.yaml", "x.yml", "x.json", "/a/b.yaml"])
def test_an_argument_with_a_slash_or_ending_is_a_file(argument):
    """A path is taken as it is, whether or not it exists."""
    assert resolve(argument) == Path(argument)


def test_any_other_argument_is_a_built_in_name():
    """A bare word is looked up, even if such a file lies in the current folder."""
    assert resolve("enterprise") == SUITES / "governance" / "enterprise.yaml"


def test_an_unknown_name_is_a_mistake_with_the_list():
    """A misspelt name shows the nearest and all there are."""
    with pytest.raises(
        PlanError, match=r"no built-in plan `enterprize`; there are .*enterprise.*did you mean `enterprise`"
    ):
        resolve("enterprize")
    with pytest.raises(
        PlanError, match=r"no built-in plan `zzz`.*\(a path needs a / or ends in \.yaml, \.yml, \.json\)"
    ):
        resolve("zzz")


def test_the_enterprise_plan_asks_for_what_it_must():
    """C9, C15-C19: 1,000 users of five kinds for 30 minutes from four regions, by every threshold of C29 to C39."""
    plan = read_plan(resolve("enterprise"), environ={})
    assert plan.load == (
        Phase(name="ramp", duration_us=120 * SECOND_US, users_from=0, users_to=1000, warmup=True),
        Phase(name="steady", duration_us=1680 * SECOND_US, users_from=1000, users_to=1000),
    )
    assert plan.scenarios == {
        "ConstitutionalVerificationUser": 25.0,
        "MultiTenantUser": 30.0,
        "PolicyGovernanceUser": 20.0,
        "FormalVerificationUser": 15.0,
        "IntegrityUser": 10.0,
    }
    assert plan.regions == tuple(
        Region(name=name, workers=1, max_users=1000)
        for name in ("us-east-1", "us-west-2", "eu-west-1", "ap-southeast-1")
    )
    assert [rule.text for rule in plan.rules] == [
        "p95 <= 2s, goal < 1s",
        "p99 <= 5s",
        "mean <= 1s",
        "rate >= 1000/s",
        "peak_rate >= 1500/s",
        "error_ratio <= 1%",
        "check(compliance) >= 95%",
        "check(hash_consistency) >= 100%",
        "check(isolation) >= 100%",
        "check(tenant_data) >= 100%",
        "check(proof) >= 100%",
        "check(audit_chain) >= 100%",
        "resource(target.cpu) <= 80%",
        "resource(target.memory) <= 85%",
    ]
    assert (plan.target, plan.seed) == ("embedded", 7)


@pytest.mark.parametrize(
    ("name", "minutes", "users", "workers"),
    [
        ("enterprise", 30, 1_000, 4),
        ("distributed", 30, 4_000, 16),
        ("spike", 5, 2_000, 4),
        ("stress", 15, 3_000, 4),
        ("constitutional", 15, 1_000, 4),
        ("endurance", 120, 800, 4),
    ],
)
def test_the_governance_plans_have_their_length_and_size(name, minutes, users, workers):
    """C9 to C14: how long, how many users, how many worker processes in four regions."""
    plan = read_plan(resolve(name), environ={})

    assert plan.duration_us == minutes * 60 * SECOND_US
    assert plan.max_users == users
    assert len(plan.regions) == 4
    assert sum(region.workers for region in plan.regions) == workers


def test_the_spike_climbs_from_100_to_2000_within_a_minute():
    """C11: the users of each phase, and the minute of the climb."""
    plan = read_plan(resolve("spike"), environ={})
    [climb] = [phase for phase in plan.load if phase.users_from != phase.users_to and phase.name == "spike"]

    assert (climb.users_from, climb.users_to, climb.duration_us) == (100, 2_000, 60 * SECOND_US)
