"""Reading plans: what a plan means, and every way in which it can be wrong."""

from pathlib import Path

import pytest
from planning import SMALL, mistakes, read, write

from loadproof.errors import ExitCode, Mistake, PlanError, Position, RuleSyntaxError
from loadproof.plan.model import ArrivalProcess, Phase, Plan, Region, RuleText, Tolerate
from loadproof.plan.reader import Overrides, bare_plan, load_plan, read_plan

FULL = """\
name: full
title: Everything at once
suite: governance
target: https://staging.example.test/api/
load:
  - {phase: ramp, duration: 2m, users: 0..1000, warmup: true}
  - {phase: steady, duration: 1h30m, users: 1000}
scenarios: {ConstitutionalUser: 25, PolicyUser: 0.5}
regions:
  - {name: us-east-1, workers: 2, max_users: 600}
  - {name: eu-west-1, max_users: 400, weight: 1.5}
rules:
  - p95 <= 2s, goal < 1s
  - {rule: "promql(avg(x)) >= 80%", optional: true}
seed: 7
stop_timeout: 45s
allow_hosts: [staging.example.test, 192.0.2.7, "2001:db8::1"]
tolerate: {torn_epochs: 1}
overlays: {staging: {seed: 8}}
"""


def small(more="", **lines):
    """The small plan with lines replaced or added."""
    text = SMALL + more
    for key, value in lines.items():
        kept = [
            line for line in text.split("\n") if not line.startswith((f"{key}:", *([" "] * (key == "load"))))
        ]
        text = "\n".join(kept) + ("" if value is None else f"{key}: {value}\n")
    return text


def test_a_full_plan_means_what_it_says(tmp_path):
    """Every key arrives in base units."""
    file = write(tmp_path, FULL)
    rule_line, quoted_line = FULL.split("\n")[12:14]
    assert read_plan(file, environ={}) == Plan(
        name="full",
        title="Everything at once",
        suite="governance",
        locustfile=None,
        target="https://staging.example.test/api",
        load=(
            Phase(name="ramp", duration_us=120_000_000, users_from=0, users_to=1000, warmup=True),
            Phase(name="steady", duration_us=5_400_000_000, users_from=1000, users_to=1000),
        ),
        scenarios={"ConstitutionalUser": 25.0, "PolicyUser": 0.5},
        regions=(
            Region(name="us-east-1", workers=2, max_users=600),
            Region(name="eu-west-1", workers=1, max_users=400, weight=1.5),
        ),
        rules=(
            RuleText(text="p95 <= 2s, goal < 1s", position=Position(str(file), 13, 5, rule_line)),
            RuleText(
                text="promql(avg(x)) >= 80%",
                optional=True,
                position=Position(str(file), 14, 13, quoted_line),
            ),
        ),
        seed=7,
        stop_timeout_us=45_000_000,
        allow_hosts=("staging.example.test", "192.0.2.7", "2001:db8::1"),
        tolerate=Tolerate(torn_epochs=1),
    )


def test_a_small_plan_has_defaults(tmp_path):
    """What is not said is: one local worker, the embedded target, no rules, every scenario of the suite."""
    plan = read(tmp_path, SMALL)
    assert plan.title == "small"
    assert plan.target == "embedded"
    assert plan.scenarios is None
    assert plan.regions == (Region(name="local", workers=1),)
    assert (plan.rules, plan.seed, plan.stop_timeout_us, plan.allow_hosts) == ((), None, None, ())


def test_a_locustfile_is_found_beside_its_plan(tmp_path):
    """A locustfile is relative to the file that names it, and absolute in the plan."""
    text = small(suite=None) + "locustfile: ../users/own.py\n"
    assert read(tmp_path, text).locustfile == str(tmp_path.parent / "users" / "own.py")
    overlay = tmp_path / "elsewhere"
    overlay.mkdir()
    config = write(overlay, "locustfile: here.py\n")
    plan = read(tmp_path, text, Overrides(config_file=config))
    assert plan.locustfile == str(overlay / "here.py")
    assert read(tmp_path, text, Overrides(set=("locustfile=x.py",))).locustfile == str(Path.cwd() / "x.py")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # names
        (small(name="123"), '4:7 `name` must be a text, not `123` (write it in quotes: "123")'),
        (
            small(name="Big One"),
            "4:7 `name` must be small letters, digits and - (it becomes a file's name), not `Big One`",
        ),
        (
            small(name="../x"),
            "4:7 `name` must be small letters, digits and - (it becomes a file's name), not `../x`",
        ),
        (small(name="x" * 64), None),
        (small(name=None), "1:1 the plan needs `name`"),
        (small(name=""), "4:6 `name` must be a text, not nothing"),
        (small(name="[a]"), "4:7 `name` must be a text, not a list"),
        (small("title: 12:30:00.5\n"), ""),
        (small("title: 2.5\n"), '5:8 `title` must be a text, not `2.5` (write it in quotes: "2.5")'),
        (small('title: "  "\n'), "5:9 `title` is empty"),
        (small('title: "a\\eb"\n'), "5:9 `title` holds a control character (write one line of plain text)"),
        (small(f"title: {'x' * 4001}\n"), "5:8 `title` has 4,001 characters, at most 4,000 are read"),
        # suite or locustfile
        (
            small(suite=None),
            "1:1 the plan needs `suite` (one of ours), `locustfile` (a path to your own) or `flows`",
        ),
        (
            small("locustfile: x.py\n"),
            "5:13 `suite` and `locustfile` exclude each other (remove one of them)",
        ),
        (
            small(suite="a/b.py"),
            "4:8 `suite` must be a folder of locustfiles/, in small letters (`locustfile` takes a path), not `a/b.py`",
        ),
        # unknown keys
        (small("sead: 7\n"), "5:1 unknown key `sead` in the plan (did you mean `seed`?)"),
        (small("Seed: 7\n"), "5:1 unknown key `Seed` in the plan (did you mean `seed`?)"),
        (small("chaos: []\n"), None),
        (small("1: x\n"), None),
        (
            small("tolerate: {torn_epoch: 1}\n"),
            "5:12 unknown key `torn_epoch` in `tolerate` (did you mean `torn_epochs`?)",
        ),
        (
            small("rules: [{rule: x, abrt: true}]\n"),
            "5:19 unknown key `abrt` in a rule (did you mean `abort`?)",
        ),
        (
            small("rules: [{rule: x, abort: 1}]\n"),
            "5:26 `abort` must be true or false, not `1`",
        ),
        (
            small("rules: [{rule: x, delay: 30s}]\n"),
            (
                "5:26 `delay` says from when on a rule may end the run, and this one never does "
                "(add `abort: true`, or remove it)"
            ),
        ),
        (
            small("rules: [{rule: x, abort: true, delay: 30}]\n"),
            "5:39 `delay` must be a duration such as 30s or 2m, not `30` (a number needs a unit: us, ms, s, m, h or d)",
        ),
        (small("rules: [{rule: x, abort: true, delay: 30s, optional: true}]\n"), ""),
        (small("rules: [{rule: x, abort: true, delay: 0s}]\n"), ""),
        # guards
        (
            small(
                "guards: {memory: 2GB, target.cpu: {warn: 80%, stop: 95.5%}, free_disk: {warn: 2GB, stop: 1GB}}\n"
            ),
            "",
        ),
        (small("guards: {memory_growth: 10MB/s, duration: 10m, users: 500, errors: {warn: 1%}}\n"), ""),
        (small("guards: {memry: 2GB}\n"), "5:10 there is no guard `memry` (did you mean `memory`?)"),
        (small("guards: {target.users: 2}\n"), None),
        (
            small("guards: {memory: 2}\n"),
            "5:18 the guard `memory` must have a level such as 2GB, not `2`",
        ),
        (
            small("guards: {cpu: 101%}\n"),
            "5:15 the guard `cpu` must have a level such as 95%, not `101%`",
        ),
        (
            small("guards: {memory_growth: 10MB}\n"),
            "5:25 the guard `memory_growth` must have a level such as 10MB/s, not `10MB`",
        ),
        (small("guards: {users: 0}\n"), "5:17 the guard `users` must have a level such as 1000, not `0`"),
        (
            small("guards: {cpu: {warn: 95%, stop: 80%}}\n"),
            "5:22 the guard `cpu` would stop the run before it warns (warn below the level that stops)",
        ),
        (
            small("guards: {free_disk: {warn: 1GB, stop: 2GB}}\n"),
            "5:28 the guard `free_disk` would stop the run before it warns (warn above the level that stops)",
        ),
        (small("guards: {cpu: {}}\n"), "5:15 the guard `cpu` has no level (give it `warn`, `stop` or both)"),
        (
            small("guards: {cpu: {warm: 1%}}\n"),
            "5:16 unknown key `warm` in the guard `cpu` (did you mean `warn`?)",
        ),
        (small("guards: [memory]\n"), None),
        # prometheus
        (small("prometheus: http://127.0.0.1:9090/\n"), ""),
        (
            small("prometheus: embedded\n"),
            (
                "5:13 `prometheus` must start with http:// or https:// and a host "
                "(write for example https://prometheus.example.test)"
            ),
        ),
        (
            small("prometheus: http://me:hunter2@a.test\n"),
            (
                "5:13 `prometheus` must not hold a user or a password: they would stand in every report "
                "(put a token into an environment variable)"
            ),
        ),
        (small("prometheus: {token: A}\n"), "5:13 `prometheus` needs `url`"),
        (
            small("prometheus: {url: http://a.test, token: a b}\n"),
            "5:41 `token` must be the name of an environment variable, never a token, not `a b`",
        ),
        (
            small("prometheus: {url: http://a.test, resources: {cpu: x}}\n"),
            "5:46 `cpu` is not the name of a resource (such as target.cpu or db.connections)",
        ),
        (
            small("prometheus: {url: http://a.test, resources: [x]}\n"),
            (
                "5:45 `resources` must be a mapping of names to PromQL, not a list "
                "(for example {target.cpu: avg(instance:cpu:ratio)})"
            ),
        ),
        (
            small("prometheus: {url: http://a.test, resources: {target.cpu: 1}}\n"),
            '5:58 `target.cpu` must be a text, not `1` (write it in quotes: "1")',
        ),
        (small("regions: [{name:eu}]\n"), None),
        # load
        (small(load="[]"), "3:7 `load` has no phases (add {phase: steady, duration: 5m, users: 10})"),
        (small(load="{}"), "3:7 `load` must be a list of phases, not a mapping"),
        (small(load=None), "1:1 the plan needs `load`"),
        (
            small(load="[steady]"),
            "3:8 a phase must be a mapping with phase, duration, users, arrivals, pace, warmup, not `steady`",
        ),
        (
            small(load="[{phase: a, duration: 1m, users: 0}]"),
            "3:7 no phase has any users (give `users` a number above 0)",
        ),
        (
            small(load="[{phase: a, duration: 1m, users: 1}, {phase: a, duration: 1m, users: 1}]"),
            "3:52 there is already a phase `a` in line 3 (give it another name)",
        ),
        (
            small(load="[{phase: a b, duration: 1m, users: 1}]"),
            "3:16 `phase` must be letters, digits, - _ and ., not `a b`",
        ),
        (small(load="[{phase: a, users: 1}]"), "3:8 a phase needs `duration`"),
        (
            small(load="[{phase: a, duration: 200d, users: 1}, {phase: b, duration: 200d, users: 1}]"),
            "3:7 the phases together are longer than a year",
        ),
        (
            small(load="[&p {phase: a, duration: 1m, users: 1}, *p]"),
            "3:19 there is already a phase `a` in line 3 (give it another name)",
        ),
        # durations
        *(
            (small(load=f"[{{phase: a, duration: {text}, users: 1}}]"), f"3:29 `duration` {message}")
            for text, message in [
                (
                    "30",
                    "must be a duration such as 30s or 2m, not `30` (a number needs a unit: us, ms, s, m, h or d)",
                ),
                (
                    "1.5",
                    "must be a duration such as 30s or 2m, not `1.5` (a number needs a unit: us, ms, s, m, h or d)",
                ),
                ("true", "must be a duration such as 30s or 2m, not `true`"),
                (
                    "30 parsecs",
                    "must be a duration, not `30 parsecs` (write a number and a unit, such as 250ms, 30s, 2m or 1h30m)",
                ),
                ("0s", "must be longer than 0 and at most a year, not `0s`"),
                ("0.4us", "must be longer than 0 and at most a year, not `0.4us`"),
                ("-5s", "must be longer than 0, not `-5s`"),
                ("366d", "must be longer than 0 and at most a year, not `366d`"),
                (
                    "9999999999999999999d",
                    "must be a duration, not `9999999999999999999d` (write a number and a unit, such as 250ms, 30s, 2m or 1h30m)",
                ),
                ("[1m]", "must be a duration such as 30s or 2m, not a list"),
            ]
        ),
        # users
        *(
            (small(load=f"[{{phase: a, duration: 1m, users: {text}}}]"), f"3:40 `users` {message}")
            for text, message in [
                ("-1", "must be from 0 to 10,000,000, not `-1`"),
                ("10000001", "must be from 0 to 10,000,000, not `10000001`"),
                ("0..10000001", "must be from 0 to 10,000,000, not `0..10000001`"),
                ("-1..5", "must be from 0 to 10,000,000, not `-1..5`"),
                ("9" * 40, "must be a number or a range such as 0..1000, not `" + "9" * 40 + "`"),
                ("1.5", "must be a number or a range such as 0..1000, not `1.5`"),
                ("1e3", "must be a number or a range such as 0..1000, not `1e3`"),
                ("1...5", "must be a number or a range such as 0..1000, not `1...5`"),
                ("true", "must be a number or a range such as 0..1000, not `true`"),
                ("ten", "must be a number or a range such as 0..1000, not `ten`"),
                (".nan", "must be a number or a range such as 0..1000, not `.nan`"),
            ]
        ),
        # arrivals and pace
        *(
            (
                small(load=f"[{{phase: a, duration: 1m, arrivals: {text}}}]"),
                f"3:43 `arrivals` must be {message}",
            )
            for text, message in [
                *(
                    (
                        text,
                        f"a rate or a range such as 100/s or 0..1000/s, not `{text}`{hint}",
                    )
                    for text, hint in [
                        ("100", " (a rate needs its unit: /s or /min)"),
                        ("0..100", " (a rate needs its unit: /s or /min)"),
                        ("1/s..2", ""),
                        ("-1/s", ""),
                        ("1e3/s", ""),
                        ("1..2..3/s", ""),
                        ("1/h", ""),
                        (".nan", ""),
                    ]
                ),
                ("0.0000004/s", "0 or from 0.000001/s to 1,000,000/s, not `0.0000004/s`"),
                ("0..1000000.1/s", "0 or from 0.000001/s to 1,000,000/s, not `0..1000000.1/s`"),
            ]
        ),
        (
            small(load="[{phase: a, duration: 1m, arrivals: 0/s}]"),
            "3:7 no phase has any arrivals (give `arrivals` a rate above 0)",
        ),
        (small(load="[{phase: a, duration: 1m}]"), "3:8 a phase needs `users` or `arrivals`"),
        (
            small(load="[{phase: a, duration: 1m, arrivals: 1/s, users: 0..9}]"),
            "3:55 `users` must be a whole number beside `arrivals`: how many users serve them, not `0..9`",
        ),
        (
            small(load="[{phase: a, duration: 1m, arrivals: 1/s, users: 0}]"),
            "3:55 `users` must be from 1 to 10,000,000, not `0`",
        ),
        (
            small(load="[{phase: a, duration: 1m, arrivals: 1/s, pace: 2s}]"),
            "3:54 `pace` spaces the tasks of users; here `arrivals` do (remove it)",
        ),
        (
            small(load="[{phase: a, duration: 1m, users: 1, pace: 2}]"),
            "3:49 `pace` must be a duration such as 30s or 2m, not `2` (a number needs a unit: us, ms, s, m, h or d)",
        ),
        (
            small(load="[{phase: a, duration: 1m, arrivals: 1/s}, {phase: b, duration: 1m, users: 1}]"),
            (
                "3:49 phase `b` has no `arrivals`, and phase `a` in line 3 has "
                "(a plan is open, with `arrivals` in every phase, or closed)"
            ),
        ),
        (
            small(load="[{phase: a, duration: 1m, users: 1}, {phase: b, duration: 1m, arrivals: 1/s}]"),
            (
                "3:44 phase `b` has `arrivals`, and phase `a` in line 3 has not "
                "(a plan is open, with `arrivals` in every phase, or closed)"
            ),
        ),
        (
            small("arrival_process: poisson\n"),
            "5:18 `arrival_process` says how `arrivals` follow each other, and no phase has any (remove it)",
        ),
        (
            small("arrival_process: poison\n", load="[{phase: a, duration: 1m, arrivals: 1/s}]"),
            "3:18 `arrival_process` must be constant or poisson, not `poison` (did you mean `poisson`?)",
        ),
        (
            small(load='[{phase: a, duration: 1m, users: "5"}]'),
            "3:41 `users` must be a number or a range such as 0..1000, not `5` (remove the quotes)",
        ),
        (
            small(load="[{phase: a, duration: 1m, users: 1, warmup: yes}]"),
            "3:51 `warmup` must be true or false, not `yes` (write true; YAML 1.2 reads yes as a text)",
        ),
        (
            small(load="[{phase: a, duration: 1m, users: 1, warmup: 1}]"),
            "3:51 `warmup` must be true or false, not `1`",
        ),
        # scenarios
        (small("scenarios: {}\n"), "5:12 `scenarios` is empty (remove it to run every class of the suite)"),
        (
            small("scenarios: [A]\n"),
            "5:12 `scenarios` must be a mapping of user classes to weights, not a list (for example {PolicyGovernanceUser: 20})",
        ),
        (
            small("scenarios: {A: 0, B: 0}\n"),
            "5:12 every scenario has weight 0 (give one of them a weight above 0)",
        ),
        (small("scenarios: {A: -1}\n"), "5:16 the weight of `A` must be from 0 to 1,000,000,000, not `-1`"),
        (
            small("scenarios: {A: .nan}\n"),
            "5:16 the weight of `A` must be from 0 to 1,000,000,000, not `.nan`",
        ),
        (
            small("scenarios: {A: .inf}\n"),
            "5:16 the weight of `A` must be from 0 to 1,000,000,000, not `.inf`",
        ),
        (
            small("scenarios: {A: 1e999}\n"),
            "5:16 the weight of `A` must be from 0 to 1,000,000,000, not `1e999`",
        ),
        (small("scenarios: {A: x}\n"), "5:16 the weight of `A` must be a number, not `x`"),
        (small("scenarios: {A: true}\n"), "5:16 the weight of `A` must be a number, not `true`"),
        (small("scenarios: {A b: 1}\n"), "5:13 `A b` is not the name of a user class"),
        # regions
        (
            small("regions: []\n"),
            "5:10 `regions` is empty (remove it for one region `local` with one worker)",
        ),
        (small("regions: eu\n"), "5:10 `regions` must be a list of regions, not `eu`"),
        (small("regions: [{workers: 1}]\n"), "5:11 a region needs `name`"),
        (small("regions: [{name: eu, workers: 0}]\n"), "5:31 `workers` must be from 1 to 10,000, not `0`"),
        (
            small("regions: [{name: eu, max_users: 0}]\n"),
            "5:33 `max_users` must be from 1 to 10,000,000, not `0`",
        ),
        (
            small("regions: [{name: eu, weight: -1}]\n"),
            "5:30 the weight of `eu` must be from 0 to 1,000,000,000, not `-1`",
        ),
        (
            small("regions: [{name: eu, weight: 0}]\n"),
            "5:10 every region has weight 0 (give one of them a weight above 0)",
        ),
        (
            small("regions: [{name: eu_west}]\n"),
            "5:18 `name` must be small letters, digits and - (it becomes a file's name), not `eu_west`",
        ),
        (
            small("regions:\n  - {name: eu}\n  - {name: eu}\n"),
            "7:12 there is already a region `eu` in line 6 (give it another name)",
        ),
        (
            small("regions: [{name: a, max_users: 4}, {name: b, max_users: 5}]\n"),
            "4:3 10 users are more than the 9 that the regions take together (raise `max_users`, or use --users)",
        ),
        (small("regions: [{name: a, max_users: 4}, {name: b}]\n"), ""),
        # target
        *(
            (small(f"target: {url}\n"), f"5:9 `target` {message}")
            for url, message in [
                (
                    "ftp://a.test",
                    "must be `embedded` or start with http:// or https:// and a host (write for example https://staging.example.test)",
                ),
                (
                    "embeded",
                    "must be `embedded` or start with http:// or https:// and a host (write for example https://staging.example.test)",
                ),
                (
                    "http:///x",
                    "must be `embedded` or start with http:// or https:// and a host (write for example https://staging.example.test)",
                ),
                (
                    "http://a.test:99999",
                    "has a host or a port that cannot be read (write for example https://staging.example.test)",
                ),
                (
                    "http://[::1",
                    "has a host or a port that cannot be read (write for example https://staging.example.test)",
                ),
                (
                    "http://a..test",
                    "has a host that cannot be read (write for example https://staging.example.test)",
                ),
                (
                    "http://a.test/?x=1",
                    "must be a URL without ? and # (write for example https://staging.example.test)",
                ),
                (
                    "http://a.test/x y",
                    "must be a URL without blanks (write for example https://staging.example.test)",
                ),
                (
                    "http://bob:secret@a.test",
                    "must not hold a user or a password: they would stand in every report (let the user class send them)",
                ),
                (
                    "http://bob@a.test",
                    "must not hold a user or a password: they would stand in every report (let the user class send them)",
                ),
            ]
        ),
        # rules
        (small("rules: p95 <= 2s\n"), "5:8 `rules` must be a list of rules, not `p95 <= 2s`"),
        (small("rules: ['']\n"), "5:10 `rule` is empty"),
        (small("rules: [5]\n"), '5:9 `rule` must be a text, not `5` (write it in quotes: "5")'),
        (small("rules: [{optional: true}]\n"), "5:9 a rule needs `rule`"),
        (
            small("rules: [{rule: x, optional: on}]\n"),
            "5:29 `optional` must be true or false, not `on` (write true; YAML 1.2 reads on as a text)",
        ),
        # the rest
        (small("seed: -1\n"), "5:7 `seed` must be from 0 to 9,223,372,036,854,775,807, not `-1`"),
        (small("seed: 1.0\n"), "5:7 `seed` must be a whole number, not `1.0`"),
        (small("seed: 9" + "9" * 5000 + "\n"), "5:7 `seed` must be a whole number, not `" + "9" * 60 + "…`"),
        (
            small("join_timeout: 0s\n"),
            "5:15 `join_timeout` must be longer than 0 and at most a year, not `0s`",
        ),
        (small("tolerate: 1\n"), "5:11 `tolerate` must be a mapping with torn_epochs, not `1`"),
        (small("tolerate: {torn_epochs: -1}\n"), "5:25 `torn_epochs` must be from 0 to 10,000, not `-1`"),
        *(
            (
                small(f"allow_hosts: ['{host}']\n"),
                f"5:16 `allow_hosts` takes host names and IP addresses, not `{host}` (without scheme, port, path or wildcard)",
            )
            for host in (
                "http://a.test",
                "a.test:80",
                "*.a.test",
                "a/b",
                "-a",
                "a" * 40 + ".." + "b",
                "10.0.0.0/8",
            )
        ),
        (small("allow_hosts: a.test\n"), "5:14 `allow_hosts` must be a list of host names, not `a.test`"),
        (small("overlays: []\n"), None),
        (
            small("overlays: {x: {sead: 1}}\n"),
            "5:16 unknown key `sead` in overlay `x` (did you mean `seed`?)",
        ),
        (small("overlays: {x: {overlays: {}}}\n"), None),
    ],
)
def test_a_mistake_is_said_at_its_place(tmp_path, text, expected):
    """One mistake gives one sentence: what, where, and what to do ("" stands for none, None for any one)."""
    found = mistakes(tmp_path, text)
    if expected is None:
        assert len(found) == 1
    else:
        assert found == ([expected] if expected else [])


@pytest.mark.parametrize(
    ("text", "first", "last"),
    [
        ("1000/s", 1_000_000_000, 1_000_000_000),
        ("0..1000/s", 0, 1_000_000_000),
        ("10/s..1000/s", 10_000_000, 1_000_000_000),
        ("10 / s .. 6000 / min", 10_000_000, 100_000_000),
        ("60..120/min", 1_000_000, 2_000_000),
        ("100/min", 1_666_667, 1_666_667),
        ("0.5/s", 500_000, 500_000),
        ("0.0000005/s", 1, 1),
        ("0..1000000/s", 0, 1_000_000_000_000),
    ],
)
def test_arrivals_are_read_to_a_millionth_a_second(tmp_path, text, first, last):
    """A rate arrives as whole arrivals in a million seconds, halves up; a shared unit is written once."""
    [phase] = read(tmp_path, small(load=f"[{{phase: a, duration: 1m, arrivals: {text}}}]")).load
    assert (phase.arrivals_from, phase.arrivals_to) == (first, last)


def test_a_plan_is_open_or_closed(tmp_path):
    """With arrivals a plan is open, evenly spaced unless it says how; users may keep a pace in a closed one."""
    closed = read(tmp_path, small(load="[{phase: a, duration: 1m, users: 1, pace: 2s}]"))
    assert (closed.open, closed.max_arrivals, closed.load[0].pace_us) == (False, 0, 2_000_000)
    text = "[{phase: a, duration: 1m, arrivals: 0..5/s}, {phase: b, duration: 1m, arrivals: 5..2/s}]"
    opened = read(tmp_path, small(load=text))
    assert (opened.open, opened.max_arrivals, opened.arrival_process) == (True, 5_000_000, "constant")
    random = read(tmp_path, small("arrival_process: poisson\n", load=text))
    assert random.arrival_process is ArrivalProcess.POISSON


@pytest.mark.parametrize(
    ("arrivals", "regions", "users"),
    [
        ("1/s", "[{name: a}]", 10),
        ("10.2/s", "[{name: a}]", 11),
        ("0..700/s", "[{name: a}]", 700),
        ("90000/s", "[{name: a}]", 5_000),
        ("700/s", "[{name: a, max_users: 200}, {name: b, max_users: 300}]", 500),
        ("1/s", "[{name: a, max_users: 3}]", 3),
    ],
)
def test_a_second_of_arrivals_is_the_pool(tmp_path, arrivals, regions, users):
    """Who serves the starts is said, or is the highest rate for a second, within 10, 5,000 and the regions."""
    text = f"[{{phase: a, duration: 1m, arrivals: {arrivals}}}, {{phase: b, duration: 1m, arrivals: 1/s, users: 2}}]"
    plan = read(tmp_path, small(f"regions: {regions}\n", load=text))
    assert [(phase.users_from, phase.users_to) for phase in plan.load] == [(users, users), (2, 2)]


def test_a_pool_fits_the_regions_that_are_left(tmp_path):
    """The default is that of the effective plan; a pool that is written and does not fit is a mistake."""
    text = small(
        "regions: [{name: a, max_users: 200}, {name: b, max_users: 300}]\n",
        load="[{phase: a, duration: 1m, arrivals: 700/s}]",
    )
    assert read(tmp_path, text, Overrides(region=("b",))).max_users == 300
    assert mistakes(tmp_path, text.replace("700/s", "700/s, users: 501")) == [
        "4:7 501 users are more than the 500 that the regions take together (raise `max_users`, or lower the phase's `users`)"
    ]


def test_all_mistakes_come_at_once_in_order(tmp_path):
    """Nothing hides behind the first mistake: all are raised together, sorted by line."""
    text = """\
name: Bad Name
suite: governance
titel: x
load:
  - {phase: ramp, duration: 30, users: ten}
  - {phase: ramp, duration: 0s, users: -1}
rules: ['', 5]
name: again
"""
    found = mistakes(tmp_path, text)
    places = [tuple(map(int, mistake.split(" ")[0].split(":"))) for mistake in found]
    assert len(found) == 10
    assert places == sorted(places)


def test_a_mistake_shows_its_line_with_a_caret(tmp_path):
    """The message is what a person reads at a terminal: file, line, column, the line, a caret, a hint."""
    file = write(tmp_path, SMALL + "sead: 7\n")
    with pytest.raises(PlanError) as caught:
        read_plan(file, environ={})
    assert str(caught.value) == (
        f"{file}:5:1: unknown key `sead` in the plan (did you mean `seed`?)\n    sead: 7\n    ^"
    )
    assert caught.value.exit_code == ExitCode.USAGE


def test_what_an_alias_repeats_is_one_mistake(tmp_path):
    """A mistake below an anchor is said once, however often the alias stands."""
    text = small(
        "regions: [&r {name: a, worker: 2}, {name: b}]\n", load="[&p {phase: a, duration: 1, users: 1}]"
    )
    text += "overlays: {x: {load: [*p]}}\n"
    assert len(mistakes(tmp_path, text, Overrides(env="x"))) == 2


@pytest.mark.parametrize(
    ("written", "line", "column"),
    [
        ("- p95 <= 2s", 1, 5),
        ("- 'p95 <= 2s'", 1, 6),
        ('- "  p95 <= 2s"', 1, 8),
        ("- {rule: p95 <= 2s}", 1, 12),
        ('- {optional: true, rule: "p95 <= 2s"}', 1, 29),
        ("- rule: p95 <= 2s", 1, 11),
        ("- >-\n      p95 <= 2s", 2, 7),
        ("- |\n      p95 <= 2s\n", 2, 7),
    ],
)
def test_a_rule_knows_where_its_text_begins(tmp_path, written, line, column):
    """A column within a rule's text can be added to the rule's place, however it is quoted."""
    file = write(tmp_path, SMALL + "rules:\n  " + written + "\n")
    loaded = load_plan(file, environ={})
    [rule] = loaded.plan.rules
    assert rule.text == "p95 <= 2s"
    assert (rule.position.line, rule.position.column) == (5 + line, column)
    error = RuleSyntaxError("expected a limit", column=5, hint="write one")
    found = loaded.mistake(("rules", 0), str(error), error.hint, column=error.column)
    assert found == Mistake(
        "expected a limit", Position(str(file), 5 + line, column + 4, rule.position.text), "write one"
    )
    assert found.position.text[found.position.column - 1 :].startswith("<= 2s")


def test_others_can_place_their_mistakes(tmp_path):
    """The verb places mistakes of scenarios, phases, regions, rules and suite; what is nowhere is at its holder."""
    loaded = load_plan(write(tmp_path, FULL), Overrides(rules=("p50 <= 1s",), seed=1), {})

    def place(*path):
        at = loaded.mistake(path, "m").position
        return at.line, at.column

    assert place("scenarios", "PolicyUser") == (8, 37)
    assert place("load", "steady") == (7, 13)
    assert place("regions", "eu-west-1") == (11, 12)
    assert place("suite") == (3, 8)
    assert place("scenarios", "Nobody") == (8, 12)
    assert place("locustfile") == (1, 1)
    assert loaded.mistake(("rules", 2), "m") == Mistake("--rule 'p50 <= 1s': m")
    assert loaded.mistake(("seed",), "m") == Mistake("--seed: m")
    assert place("rules", 9) == (13, 3)


def test_a_column_behind_the_line_stays_at_its_end(tmp_path):
    """A column that a folded rule puts beyond its line shows at the line's end."""
    loaded = load_plan(write(tmp_path, SMALL + "rules:\n  - >-\n    p95\n    <= 2s\n"), environ={})
    assert loaded.plan.rules[0].text == "p95 <= 2s"
    at = loaded.mistake(("rules", 0), "m", column=9).position
    assert (at.line, at.column) == (7, 8)


def test_a_bare_plan_is_one_user_for_a_minute(tmp_path):
    """A locustfile alone makes a plan with one phase and a name that can be a file's."""
    plan = bare_plan(tmp_path / "My Users_v2.py", environ={}).plan
    assert plan.name == "my-users-v2"
    assert plan.locustfile == str(tmp_path / "My Users_v2.py")
    assert (plan.suite, plan.target) == (None, "embedded")
    assert plan.load == (Phase(name="steady", duration_us=60_000_000, users_from=1, users_to=1),)
    assert bare_plan(Path("ÄÖ.py"), environ={}).plan.name == "run"


def test_a_bare_plan_takes_all_flags(tmp_path):
    """Users, duration, spawn rate, target and rules make a warm-up ramp and a steady phase."""
    flags = Overrides(
        users=100,
        duration="5m",
        spawn_rate=10,
        target="http://127.0.0.1:8080/",
        rules=("p95 <= 250ms",),
        workers=3,
    )
    plan = bare_plan(tmp_path / "own.py", flags, {}).plan
    assert plan.load == (
        Phase(name="ramp", duration_us=10_000_000, users_from=0, users_to=100, warmup=True),
        Phase(name="steady", duration_us=290_000_000, users_from=100, users_to=100),
    )
    assert plan.target == "http://127.0.0.1:8080"
    assert [rule.text for rule in plan.rules] == ["p95 <= 250ms"]
    assert [region.workers for region in plan.regions] == [3]


def test_a_wrong_flag_of_a_bare_plan_is_named():
    """Mistakes of a plan without a file name the flag."""
    with pytest.raises(PlanError) as caught:
        bare_plan(Path("own.py"), Overrides(users=0, target="nowhere", rules=("",)), {})
    assert [mistake.message.split(": ")[0] for mistake in caught.value.mistakes] == [
        "--users 0",
        "--target",
        "--rule ''",
    ]
    assert all(mistake.position is None for mistake in caught.value.mistakes)
