"""What changes a plan before it is read: overlays, settings, environment, and which of them wins."""

import pytest
from planning import SMALL, mistakes, read, write

from loadproof.errors import PlanError
from loadproof.plan.reader import Overrides, load_plan

BASE = """\
name: base
suite: governance
load:
  - {phase: ramp, duration: 10s, users: 0..10, warmup: true}
  - {phase: steady, duration: 50s, users: 10}
scenarios: {A: 1, B: 2}
rules: [p95 <= 2s, p99 <= 5s]
tolerate: {torn_epochs: 1}
overlays:
  staging:
    target: https://staging.example.test
    scenarios: {B: 3, C: 4}
    rules: [p50 <= 1s]
  production: {title: For real, tolerate: {torn_epochs: 0}}
"""


def test_no_overlay_applies_unasked(tmp_path):
    """Overlays are offers: without --env the plan is what stands outside of them."""
    plan = read(tmp_path, BASE)
    assert (plan.target, plan.scenarios) == ("embedded", {"A": 1, "B": 2})


def test_mappings_merge_and_lists_replace(tmp_path):
    """An overlay adds to mappings key by key, and puts its lists and values in place of the plan's."""
    plan = read(tmp_path, BASE, Overrides(env="staging"))
    assert plan.target == "https://staging.example.test"
    assert plan.scenarios == {"A": 1, "B": 3, "C": 4}
    assert [rule.text for rule in plan.rules] == ["p50 <= 1s"]
    assert plan.tolerate.torn_epochs == 1


def test_an_overlay_file_comes_after_the_named_overlay(tmp_path):
    """--config-file wins over --env, which wins over the plan; JSON will do."""
    config = write(tmp_path, '{"scenarios": {"B": 9}, "seed": 5}', "more.json")
    plan = read(tmp_path, BASE, Overrides(env="staging", config_file=config))
    assert plan.scenarios == {"A": 1, "B": 9, "C": 4}
    assert plan.seed == 5


def test_a_mistake_in_an_overlay_is_at_its_own_place(tmp_path):
    """What an overlay breaks is shown in the overlay's file and line."""
    config = write(tmp_path, "# ours\nseed: x\n", "more.yaml")
    with pytest.raises(PlanError) as caught:
        load_plan(write(tmp_path, BASE), Overrides(config_file=config), {})
    [mistake] = caught.value.mistakes
    assert (mistake.position.file, mistake.position.line, mistake.position.column) == (str(config), 2, 7)


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (
            {"env": "stagin"},
            "--env stagin: the plan has no overlay `stagin`; there are staging, production (did you mean `staging`?)",
        ),
        ({"env": ""}, "--env : the plan has no overlay ``; there are staging, production"),
    ],
)
def test_an_unknown_overlay_names_those_that_exist(tmp_path, overrides, expected):
    """A misspelt --env shows what there is."""
    assert mistakes(tmp_path, BASE, Overrides(**overrides)) == [expected]


def test_a_plan_without_overlays_says_so(tmp_path):
    """--env on a plan without overlays is a mistake, never ignored."""
    assert mistakes(tmp_path, SMALL, Overrides(env="x")) == [
        "--env x: the plan has no overlay `x`; it has none"
    ]


@pytest.mark.parametrize("text", ["- a\n", "sead: 1\n", "overlays: {}\n", "", "a: [\n"])
def test_an_unfit_overlay_file_is_a_mistake(tmp_path, text):
    """An overlay file holds part of a plan, and nothing else."""
    config = write(tmp_path, text, "more.yaml")
    assert len(mistakes(tmp_path, SMALL, Overrides(config_file=config))) == 1


def test_settings_change_single_values(tmp_path):
    """--set walks keys and list numbers, makes mappings that are missing, and reads its value as YAML."""
    settings = (
        "load.1.duration=30s",
        "load.0.users=5..20",
        "tolerate.torn_epochs=3",
        "seed = 0x10",
        "scenarios.D=1.5",
        "rules.0={rule: p90 <= 1s, optional: true}",
        "regions=[{name: eu}]",
        "regions.0.workers=4",
        'title="a = b"',
    )
    plan = read(tmp_path, BASE.replace("tolerate: {torn_epochs: 1}\n", ""), Overrides(set=settings))
    assert plan.load[1].duration_us == 30_000_000
    assert (plan.load[0].users_from, plan.load[0].users_to) == (5, 20)
    assert plan.tolerate.torn_epochs == 3
    assert plan.seed == 16
    assert plan.scenarios == {"A": 1, "B": 2, "D": 1.5}
    assert (plan.rules[0].text, plan.rules[0].optional) == ("p90 <= 1s", True)
    assert [(region.name, region.workers) for region in plan.regions] == [("eu", 4)]
    assert plan.title == "a = b"


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("seed", "a setting is written path=value (for example --set load.1.duration=30s)"),
        ("=3", "a setting is written path=value (for example --set load.1.duration=30s)"),
        ("load..users=3", "a setting is written path=value (for example --set load.1.duration=30s)"),
        (
            ".".join("a" * 99) + "=1",
            "a setting is written path=value (for example --set load.1.duration=30s)",
        ),
        ("lod.1.duration=30s", "there is no `lod` to change (did you mean `load`?)"),
        ("load.2.duration=30s", "`load` has no item `2` (its items are numbered 0 to 1)"),
        ("load.-1.duration=30s", "`load` has no item `-1` (its items are numbered 0 to 1)"),
        ("load.steady.duration=30s", "`load` has no item `steady` (its items are numbered 0 to 1)"),
        (
            "load." + "9" * 5000 + "=1",
            "`load` has no item `" + "9" * 60 + "…` (its items are numbered 0 to 1)",
        ),
        ("name.x=1", "`name` is a single value, it has no `x`"),
        ("seed=", "`seed` must be a whole number, not nothing"),
        ("seed=[", "this cannot be read as YAML: expected the node content, but found '<stream end>'"),
        ("load.1.duration=30 parsecs", None),
        ("load.1.durration=30s", "unknown key `durration` in a phase (did you mean `duration`?)"),
        ("sead=7", "unknown key `sead` in the plan (did you mean `seed`?)"),
        ("overlays.x.seed=1", "overlays are chosen with --env, they cannot be set"),
        ("tolerate={a: 1, a: 2}", None),
    ],
)
def test_a_wrong_setting_names_the_flag(tmp_path, setting, message):
    """A mistake that --set makes has no line: the flag stands in its place."""
    found = mistakes(tmp_path, BASE, Overrides(set=(setting,)))
    assert found
    assert all(mistake.startswith(f"--set {setting}: ") for mistake in found)
    if message is not None:
        assert found == [f"--set {setting}: {message}"]


@pytest.mark.parametrize(
    ("flag", "key", "wrong"),
    [
        ("--test-name", "test_name", ""),
        ("--test-name", "test_name", "../x"),
        ("--stop-timeout", "stop_timeout", "soon"),
        ("--stop-timeout", "stop_timeout", "-1s"),
        ("--join-timeout", "join_timeout", "7"),
    ],
)
def test_a_wrong_flag_is_named_as_it_was_typed(tmp_path, flag, key, wrong):
    """Whoever types a flag of its own never hears of `--set`."""
    [found] = mistakes(tmp_path, BASE, Overrides(**{key: wrong}))

    assert found.startswith(f"{flag}: `")


def test_flags_stand_above_settings(tmp_path):
    """A name and the two timeouts, given twice, are those of their own flags."""
    changed = read(
        tmp_path,
        BASE,
        Overrides(
            set=("name=other", "stop_timeout=1m", "join_timeout=1m"),
            test_name="mine",
            stop_timeout="2m",
            join_timeout="3m",
        ),
    )

    assert (changed.name, changed.stop_timeout_us, changed.join_timeout_us) == (
        "mine",
        120_000_000,
        180_000_000,
    )


def test_a_setting_never_shows_a_password(tmp_path):
    """A refused URL in a flag is said without its password."""
    [found] = mistakes(tmp_path, BASE, Overrides(set=("target=https://bob:hunter2@a.test",)))
    assert "hunter2" not in found
    [found] = mistakes(tmp_path, BASE, Overrides(target="https://bob:hunter2@a.test"))
    assert "hunter2" not in found
    [found] = mistakes(tmp_path, BASE, environ={"LOADPROOF_TARGET": "https://bob:hunter2@a.test"})
    assert "hunter2" not in found


@pytest.mark.parametrize(
    ("written", "environ", "title"),
    [
        ("${WHO}", {"WHO": "you"}, "you"),
        ("for ${WHO} and ${WHO}", {"WHO": "you"}, "for you and you"),
        ("${WHO:-nobody}", {}, "nobody"),
        ("${WHO:-nobody}", {"WHO": ""}, "nobody"),
        ("x${WHO}", {"WHO": ""}, "x"),
        ("x${WHO:-}", {}, "x"),
        ("${A:-a:-b}", {}, "a:-b"),
        ("$${WHO}", {"WHO": "you"}, "${WHO}"),
        ("$$${WHO}", {"WHO": "you"}, "$${WHO}"),
        ("$WHO $$ $", {"WHO": "you"}, "$WHO $$ $"),
        ("${WHO}", {"WHO": "123"}, "123"),
        ("${WHO}", {"WHO": "${WHO}"}, "${WHO}"),
    ],
)
def test_variables_are_replaced_in_texts(tmp_path, written, environ, title):
    """`${NAME}` gives the variable's text, once, and `$${` stands for itself."""
    assert read(tmp_path, SMALL + f'title: "{written}"\n', environ=environ).title == title


@pytest.mark.parametrize("quote", ["", '"'])
def test_a_variable_takes_the_type_that_its_key_needs(tmp_path, quote):
    """What the environment gives is text, read as a number or boolean where the key takes one."""
    text = f"""\
name: small
suite: governance
load:
  - phase: steady
    duration: {quote}${{D}}{quote}
    users: {quote}${{U}}{quote}
    warmup: {quote}${{W:-true}}{quote}
scenarios:
  A: {quote}${{U}}{quote}
"""
    plan = read(tmp_path, text, environ={"D": "2m", "U": "12"})
    assert (plan.load[0].duration_us, plan.load[0].users_to, plan.load[0].warmup) == (120_000_000, 12, True)
    assert plan.scenarios == {"A": 12}
    assert read(tmp_path, text, environ={"D": "2m", "U": "3", "W": "false"}).load[0].warmup is False


def test_an_unset_variable_is_a_mistake_at_its_place(tmp_path):
    """A variable that is not set, and has no default, is shown where it stands, and once."""
    for key in ("title", "seed", "stop_timeout", "target"):
        [found] = mistakes(tmp_path, SMALL + f'{key}: "${{NOPE}}"\n')
        hint = "(set it, or give a default: ${NOPE:-value})"
        assert found == f"5:{len(key) + 4} the environment variable `NOPE` is not set {hint}"


@pytest.mark.parametrize("written", ["${NO", "${1X}", "${X-y}", "${}", "${ X}", "${X:-{}}"])
def test_a_malformed_variable_is_a_mistake_at_its_place(tmp_path, written):
    """What starts with `${` and names no variable is shown with both remedies."""
    [found] = mistakes(tmp_path, SMALL + f'title: "a {written}"\n')
    assert found.startswith("5:11 `${` needs the name of a variable and a closing brace")
    assert found.endswith("(write `$${` for the text itself)")


def test_an_overlay_that_is_not_chosen_needs_no_variables(tmp_path):
    """The variables of production are asked for only by --env production."""
    text = SMALL + "overlays: {production: {target: '${PRODUCTION}'}}\n"
    assert read(tmp_path, text).target == "embedded"
    assert len(mistakes(tmp_path, text, Overrides(env="production"))) == 1


def test_a_value_from_the_environment_is_never_shown(tmp_path):
    """A mistake in what a variable gave names the variable, because it may hold a secret."""
    text = SMALL + "seed: ${TOKEN}\n"
    assert mistakes(tmp_path, text, environ={"TOKEN": "hunter2"}) == [
        "5:7 `seed` must be a whole number, not what `${TOKEN}` stands for"
    ]
    text = SMALL + "stop_timeout: ${TOKEN}\n"
    for token in ("hunter2", "-5s", "12345", "999999d"):
        assert "${TOKEN}" in mistakes(tmp_path, text, environ={"TOKEN": token})[0]
        assert token not in mistakes(tmp_path, text, environ={"TOKEN": token})[0]
    assert len(mistakes(tmp_path, SMALL + "title: ${TOKEN}\n", environ={"TOKEN": "a\x1b[31m"})) == 1


def test_flags_outrank_environment_which_outranks_the_file(tmp_path):
    """Precedence is flag, environment, overlay, file, default."""
    environ = {
        "LOADPROOF_TARGET": "https://environment.test",
        "LOADPROOF_USERS": "20",
        "LOADPROOF_DURATION": "2m",
    }
    plan = read(tmp_path, BASE, Overrides(env="staging"), environ)
    assert (plan.target, plan.max_users, plan.duration_us) == ("https://environment.test", 20, 120_000_000)
    flags = Overrides(env="staging", target="https://flag.test", users=40, duration="3m")
    plan = read(tmp_path, BASE, flags, environ)
    assert (plan.target, plan.max_users, plan.duration_us) == ("https://flag.test", 40, 180_000_000)
    empty = dict.fromkeys(environ, "")
    plan = read(tmp_path, BASE, Overrides(env="staging"), empty)
    assert (plan.target, plan.max_users, plan.duration_us) == ("https://staging.example.test", 10, 60_000_000)


def test_a_setting_outranks_the_environment(tmp_path):
    """--set is a flag: what it sets, a variable does not change any more, and nothing else is spared."""
    environ = {"LOADPROOF_TARGET": "https://a.test", "LOADPROOF_USERS": "20", "LOADPROOF_DURATION": "2m"}
    plan = read(tmp_path, BASE, Overrides(set=("load.1.users=7", "load.0.users=7")), environ)
    assert (plan.max_users, plan.duration_us) == (7, 120_000_000)
    plan = read(tmp_path, BASE, Overrides(set=("load.1.duration=7s",)), environ)
    assert (plan.max_users, plan.duration_us) == (20, 17_000_000)
    plan = read(tmp_path, BASE, Overrides(set=("target=https://set.test",)), environ)
    assert plan.target == "https://set.test"
    plan = read(tmp_path, BASE, Overrides(set=("load.1.users=7",), users=30), environ)
    assert plan.max_users == 30


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"LOADPROOF_USERS": "ten"}, "LOADPROOF_USERS=ten: `users` must be a whole number, not `ten`"),
        ({"LOADPROOF_USERS": "0"}, "LOADPROOF_USERS=0: `users` must be from 1 to 10,000,000, not `0`"),
        ({"LOADPROOF_TARGET": "x"}, "LOADPROOF_TARGET: `target` must be"),
        ({"LOADPROOF_DURATION": "5"}, "LOADPROOF_DURATION=5: `duration` must be a duration such as 30s"),
        ({"LOADPROOF_DURATION": "1s"}, "LOADPROOF_DURATION=1s: phase `ramp` would last less than one second"),
    ],
)
def test_a_wrong_variable_is_named(tmp_path, environ, expected):
    """A mistake in an environment variable starts with its name."""
    [found] = mistakes(tmp_path, BASE, environ=environ)
    assert found.startswith(expected)


def test_rules_and_seed_from_flags(tmp_path):
    """--rule adds to the plan's rules, --seed replaces its seed."""
    plan = read(tmp_path, BASE, Overrides(rules=("p50 <= 1s", "count >= 1"), seed=99))
    assert [rule.text for rule in plan.rules] == ["p95 <= 2s", "p99 <= 5s", "p50 <= 1s", "count >= 1"]
    assert [rule.position is None for rule in plan.rules] == [False, False, True, True]
    assert plan.seed == 99
