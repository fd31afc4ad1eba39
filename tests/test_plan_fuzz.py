"""Damaged plans by the thousand: whatever is read, a plan or a PlanError comes of it."""

import copy
import json
import random

import pytest
import yaml

from loadproof.errors import PlanError
from loadproof.plan.builtin import resolve
from loadproof.plan.reader import Overrides, load_plan
from loadproof.plan.writer import dump_plan

ENTERPRISE = resolve("enterprise").read_bytes()
TOKENS = [
    *(bytes([byte]) for byte in b"\0\t\n\r\"'#&*!|>%@`{}[]:,-?~$<=.0\\"),
    *(
        b"${",
        b"$${",
        b"${X}",
        b": ",
        b"- ",
        b"\n- ",
        b"---\n",
        b"...\n",
        b"&a ",
        b"*a",
        b"!!x ",
        b"? ",
        b"<<: *a",
    ),
    *(b"\xff", b"\xfe", b"\xc3\xa9", b"\xf0\x9f\x9a\x80", b"\xef\xbb\xbf", b"\xe2\x80\xa8", b"\xed\xa0\x80"),
    *(
        b"null",
        b"true",
        b".nan",
        b"-.inf",
        b"1e999",
        b"9" * 400,
        b"0x" + b"f" * 400,
        b"\\UFFFFFFFF",
        b"[" * 60,
    ),
    *(b"http://", b"://u:p@h", b"0..0", b"-1..9", b"99d", b"1h", b"%YAML 1.9", b"overlays: {x: "),
]
VALUES = [
    *(None, True, False, 0, -1, 1, 10**7 + 1, 10**40, 0.5, -0.0, 1e308, float("inf"), float("nan")),
    *(
        "",
        " ",
        "x",
        "0..5",
        "5..0",
        "1m",
        "30",
        "-1s",
        "9" * 5000,
        "${NOPE}",
        "${X}",
        "${",
        "embedded",
        "\ud800",
    ),
    *(
        "http://[",
        "http://u:p@h",
        "http://h:99999999",
        "http://\u2100.test",
        "/",
        "..",
        "a\nb",
        "\x1b[0m",
        "🚀" * 70,
    ),
    *(
        [],
        {},
        [[]],
        [None],
        {"": None},
        {"x": {"x": {}}},
        {"rule": None},
        {"phase": "a"},
        {"name": "a"},
        ["a", "a"],
    ),
]
KEYS = [
    "name",
    "load",
    "phase",
    "users",
    "duration",
    "rules",
    "rule",
    "overlays",
    "x",
    "",
    "9",
    "max_users",
    "weight",
]


def damaged_bytes(random):
    """The enterprise plan with a few bytes changed, lost, doubled, moved or put in."""
    data = bytearray(ENTERPRISE)
    for _ in range(random.choice([1, 1, 2, 6])):
        at = random.randrange(len(data) + 1)
        end = min(len(data), at + random.choice([1, 1, 2, 5, 40]))
        data[at:end] = random.choice(
            [
                b"",
                bytes(data[at:end]) * 2,
                random.choice(TOKENS),
                random.choice(TOKENS) * random.randint(1, 50),
                random.randbytes(end - at),
                bytes(reversed(data[at:end])),
            ]
        )
    return bytes(data)


def damaged_structure(random):
    """The enterprise plan with a few values replaced, lost, or put where they do not belong, as JSON."""
    plan = yaml.safe_load(ENTERPRISE)
    for _ in range(random.choice([1, 1, 4])):
        at = plan
        while True:
            keys = list(at) if isinstance(at, dict) else list(range(len(at)))
            key = random.choice(keys) if keys else None
            if key is None or not isinstance(at[key], dict | list) or random.random() < 0.3:
                break
            at = at[key]
        what = random.randrange(4)
        if what == 0 and key is not None:
            del at[key]
        elif what == 1 and key is not None:
            at[key] = copy.deepcopy(plan)
        elif isinstance(at, dict):
            at[random.choice(KEYS) if what == 2 else key or "x"] = copy.deepcopy(random.choice(VALUES))
        else:
            at.append(copy.deepcopy(random.choice(VALUES)))
    return json.dumps(plan, ensure_ascii=random.random() < 0.5).encode(errors="surrogatepass")


def some_overrides(random):
    """No flags mostly, else any of them, right or wrong."""

    def maybe(*values):
        return random.choice(values) if random.random() < 0.04 else None

    return Overrides(
        users=maybe(0, 1, 999, 4001, 10**9),
        duration=maybe("1s", "10s", "2h", "x", "0s", ""),
        spawn_rate=maybe(0.0, 1e-9, 10.0, 1e9, float("nan")),
        target=maybe("embedded", "http://a.test", "x", ""),
        region=maybe(("eu-west-1",), ("x",), ("eu-west-1", "us-east-1")) or (),
        workers=maybe(0, 1, 4, 9, 10**9),
        rules=maybe(("p95 <= 1s",), ("",)) or (),
        seed=maybe(0, -1, 2**70),
        set=maybe(
            ("load.1.duration=30s",),
            ("load.7.users=1",),
            (random.choice(TOKENS).decode("utf-8", "surrogateescape") + "=1",),
            ("seed=" + random.choice(TOKENS).decode("utf-8", "surrogateescape"),),
            (random.choice(KEYS) + ".0." + random.choice(KEYS) + "=" + random.choice(["1", "x", "[]", "{"]),),
        )
        or (),
        env=maybe("x", ""),
    )


def assert_tellable(error):
    """Every mistake says something, points into its line, and can be printed."""
    assert error.mistakes
    for mistake in error.mistakes:
        assert mistake.message
        at = mistake.position
        assert at is None or 1 <= at.column <= len(at.text) + 1
    assert str(error).encode(errors="surrogateescape")


def survive(folder, seeds):
    """Reads damaged plans; any exception but PlanError fails, and so does a plan that cannot be read again."""
    read = 0
    for seed in seeds:
        rng = random.Random(seed)
        file = folder / "plan.yaml"
        file.write_bytes(rng.choice([damaged_bytes, damaged_structure])(rng))
        environ = rng.choice([{}, {"X": "7"}, {"X": "\udcff\n", "LOADPROOF_USERS": "x"}])
        overrides = some_overrides(rng)
        try:
            plan = load_plan(file, overrides, environ).plan
        except PlanError as error:
            assert_tellable(error)
            continue
        read += 1
        file.write_text(dump_plan(plan), encoding="utf-8")
        again = load_plan(file, environ={}).plan
        assert dump_plan(again) == dump_plan(plan)
    return read


def test_a_damaged_plan_is_read_or_refused(tmp_path):
    """A thousand damaged plans and flags: only plans and PlanErrors, both often enough to mean something."""
    assert 50 < survive(tmp_path, range(1_000)) < 900


@pytest.mark.long
def test_ten_thousand_damaged_plans_are_read_or_refused(tmp_path):
    """The full count."""
    assert 500 < survive(tmp_path, range(1_000, 10_000)) < 8_500
