"""The plans of the survival suite ask for what they must, and what docs/survival.md shows can be typed."""

import re
import shlex
from pathlib import Path

import pytest
from commands import loadproof

from loadproof.plan.builtin import resolve
from loadproof.plan.reader import Overrides, read_plan

PAGE = (Path(__file__).parent.parent / "docs" / "survival.md").read_text()
COMMANDS = re.findall(r"(?:^    |\| `)((?:[A-Z_]+=\S+ )*loadproof run .*?)(?:`|$)", PAGE, re.MULTILINE)
SECOND_US = 1_000_000


def plan_of(name, environ=None, **overrides):
    return read_plan(resolve(name), Overrides(**overrides), environ or {})


def rules(plan):
    return [rule.text for rule in plan.rules]


def test_the_survival_plan_lasts_ten_minutes_with_four_windows():
    """A3, A8 to A11, A23: the windows have their lengths, and more time to get well than each may take."""
    plan = plan_of("survival")
    windows = {fault.name: (fault.kind, fault.for_us // SECOND_US) for fault in plan.faults}
    ends = [*(fault.at_us for fault in plan.faults[1:]), plan.duration_us]
    rests = [(end - fault.until_us) // SECOND_US for fault, end in zip(plan.faults, ends, strict=True)]

    assert (plan.duration_us, plan.max_users) == (600 * SECOND_US, 1_000)
    assert windows == {
        "database-down": ("database-down", 30),
        "gateway-timeout": ("gateway-timeout", 45),
        "memory-pressure": ("memory-pressure", 20),
        "network-partition": ("blackhole", 60),
    }
    assert min(rests) >= 60


def test_the_survival_plan_judges_normal_load_and_windows_apart():
    """A1, A15 to A20, A24: each criterion is a rule, each window has its own."""
    asked = rules(plan_of("survival"))

    for rule in (
        "error_ratio{fault=none} < 5%",
        "mean{fault=none} < 500ms",
        "count{name=POST /users} >= 5000",
        "users >= 1, goal >= 1000",
        "resource(target.rss) < 2GB",
        "resource(generator.rss) < 2GB",
    ):
        assert rule in asked
    for fault in plan_of("survival").faults:
        assert f"functionality{{fault={fault.name}}} > 80%" in asked
        assert f"recovery_time{{fault={fault.name}}} <= 30s" in asked
    assert {guard.name for guard in plan_of("survival").guards} == {"memory"}


def test_the_names_of_azora_are_heeded():
    """A21 to A24: target, minutes, concurrency and registrations; windows are stretched with the run."""
    environ = {
        "AZORA_API_URL": "http://localhost:3000",
        "STRESS_TEST_DURATION": "20",
        "MAX_CONCURRENCY": "50",
        "USER_COUNT": "70",
    }
    plan = plan_of("survival", environ)

    assert (plan.target, plan.duration_us, plan.max_users) == ("http://localhost:3000", 1200 * SECOND_US, 50)
    assert "count{name=POST /users} >= 70" in rules(plan)
    assert [fault.for_us // SECOND_US for fault in plan.faults] == [60, 90, 40, 120]


@pytest.mark.parametrize(("phase", "users"), [("phase-1", 10_000), ("phase-2", 50_000), ("phase-3", 100_000)])
def test_a_phase_of_the_planetary_plan_is_chosen_by_its_name(phase, users):
    """A7: alone with `--env`, and all three in one run without."""
    alone = plan_of("planetary", env=phase)
    [of_all] = [each for each in plan_of("planetary").load if each.name == phase]

    assert alone.load[-1].name == phase
    assert alone.max_users == alone.load[-1].users_to == of_all.users_to == users
    assert plan_of("planetary", users=100_000).max_users == 100_000
    assert "resource(generator.rss) < 2GB" in rules(alone)


def test_the_page_has_a_command_for_every_part():
    """The test below has something to type: every overlay of both plans, and both plans."""
    typed = {word for command in COMMANDS for word in shlex.split(command)}

    assert {"survival", "planetary", "registration", "load", "resilience", "phase-1", "phase-2"} <= typed
    assert len(COMMANDS) > 12


FLAGS = {"--env": "env", "--users": "users", "--duration": "duration", "--set": "set"}


def read(command):
    """The plan of a command of the page, and its variables."""
    words = shlex.split(command)
    environ = dict(word.split("=", 1) for word in words if re.match(r"[A-Z_]+=", word))
    _, _, name, *flags = words[len(environ) :]
    given = {}
    for flag, value in zip(flags[::2], flags[1::2], strict=True):
        key = FLAGS[flag]
        known = {"users": int(value) if key == "users" else value, "set": (*given.get("set", ()), value)}
        given[key] = known.get(key, value)
    return plan_of(name, environ, **given), environ


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_of_the_page_is_a_plan(command):
    """It is read without a mistake, for as many users and registrations as it says."""
    plan, environ = read(command)
    users = re.search(r"--users (\d+)", command)
    wanted = [rule for rule in rules(plan) if rule.startswith("count{name=POST /users}")]

    assert plan.suite == "survival"
    assert users is None or plan.max_users == int(users[1])
    assert all(rule.endswith(f">= {environ.get('USER_COUNT', 5000)}") for rule in wanted)


def test_a_command_of_the_page_can_be_typed(tmp_path):
    """The one with the most to get wrong, by the command line itself."""
    [command] = [command for command in COMMANDS if "--set" in command and "faults" in command]
    done = loadproof("validate", *shlex.split(command)[2:], cwd=tmp_path)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "storage-down, for 30 s" in done.stdout
