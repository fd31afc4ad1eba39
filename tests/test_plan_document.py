"""Reading text: YAML 1.2 and JSON, bounds, and files that are no plans."""

import json
import math

import pytest
from planning import SMALL, mistakes, read, write

from loadproof.errors import PlanError
from loadproof.plan.document import MAX_DEPTH, read_text
from loadproof.plan.node import Mapping, Scalar, Sequence
from loadproof.plan.reader import read_plan


def plain(node):
    """The tree without its places."""
    if isinstance(node, Mapping):
        return {name: plain(entry.node) for name, entry in node.entries.items()}
    if isinstance(node, Sequence):
        return [plain(item) for item in node.items]
    return node.value


def tree(text):
    found = []
    node = read_text(text, "plan.yaml", found)
    return node, [(mistake.position.line, mistake.position.column, mistake.message) for mistake in found]


# The tables of YAML 1.2.2, 10.3.2, and what YAML 1.1 reads otherwise.
@pytest.mark.parametrize(
    ("text", "value"),
    [
        *((word, True) for word in ("true", "True", "TRUE")),
        *((word, False) for word in ("false", "False", "FALSE")),
        *((word, None) for word in ("null", "Null", "NULL", "~", "")),
        *((word, word) for word in ("yes", "no", "on", "off", "y", "n", "Yes", "ON", "tRue")),
        *((word, word) for word in ("12:30:00", "1_000", "0b11", "2001-12-14", "<<", "=", "0o8", "0xg")),
        ("0777", 777),
        ("0o17", 15),
        ("0x1F", 31),
        ("-19", -19),
        ("+3", 3),
        ("0.", 0.0),
        ("-.5", -0.5),
        ("12e03", 12000.0),
        ("-2E+05", -200000.0),
        (".inf", math.inf),
        ("-.Inf", -math.inf),
        ("1.2.3", "1.2.3"),
        ("0..1000", "0..1000"),
    ],
)
def test_an_unquoted_scalar_follows_the_core_schema(text, value):
    """What stands without quotes has the type that YAML 1.2 gives it."""
    node, found = tree(f"key: {text}")
    assert found == []
    assert plain(node) == {"key": value}
    assert type(plain(node)["key"]) is type(value)


def test_not_a_number_is_read():
    """`.nan` is a float that is not a number."""
    node, _ = tree("key: .NaN")
    assert math.isnan(plain(node)["key"])


@pytest.mark.parametrize("text", ["'true'", '"12"', "'null'", "'.inf'", '"~"', "|-\n  12", ">-\n  true"])
def test_a_quoted_scalar_stays_text(text):
    """Quotes and block scalars make any value a text."""
    node, _ = tree(f"key: {text}")
    assert isinstance(plain(node)["key"], str)


JSON = {
    "name": "small",
    "suite": "governance",
    "title": 'naïve 🚀 " \\ / test',
    "load": [{"phase": "steady", "duration": "1m", "users": 10, "warmup": False}],
    "rules": ["p95 <= 2s", {"rule": "p99 <= 5s", "optional": True}],
    "seed": 7,
}


@pytest.mark.parametrize("indent", [None, 2, "\t"])
@pytest.mark.parametrize("ascii_only", [True, False])
def test_json_is_read_as_it_is_written(tmp_path, indent, ascii_only):
    """JSON with any indentation, tabs too, and with escapes beyond U+FFFF gives what was written."""
    text = json.dumps(JSON, indent=indent, ensure_ascii=ascii_only)
    plan = read(tmp_path, text, name="plan.json")
    assert plan.title == JSON["title"]
    assert plan.load[0].users_to == 10
    assert [rule.optional for rule in plan.rules] == [False, True]
    assert plain(tree(text)[0]) == JSON


def test_a_mistake_in_json_has_its_place(tmp_path):
    """Lines and columns of JSON are exact, tabs counting as one column."""
    text = json.dumps({**JSON, "seed": "x"}, indent="\t")
    line = text.split("\n").index('\t"seed": "x"') + 1
    assert mistakes(tmp_path, text) == [f"{line}:11 `seed` must be a whole number, not `x`"]


def test_all_equal_keys_are_mistakes_with_both_places():
    """A key written twice is a mistake at the second, which names the line of the first."""
    _, found = tree("a: 1\nb: {c: 1, d: 2, c: 3}\na: 2\n")
    assert found == [
        (2, 17, "`c` is written twice; it stands already in line 2"),
        (3, 1, "`a` is written twice; it stands already in line 1"),
    ]


def test_tags_are_mistakes():
    """No tag is obeyed, not even a harmless one."""
    for tag in ("!!str", "!!python/object/apply:os.system", "!own", "!"):
        _, found = tree(f"key: {tag} x")
        assert [message for _, _, message in found] == ["tags (`!name`) have no meaning in a plan"]


def test_aliases_stand_for_what_they_name():
    """An anchor can be used again, and its values keep their first place."""
    node, found = tree("a: &x {b: [1, 2]}\nc: *x\n")
    assert found == []
    assert plain(node) == {"a": {"b": [1, 2]}, "c": {"b": [1, 2]}}


def test_a_merge_key_is_an_ordinary_key(tmp_path):
    """`<<` does not exist in YAML 1.2: it is an unknown key."""
    text = SMALL + "<<: {seed: 7}\n"
    assert [mistake.split(" (")[0] for mistake in mistakes(tmp_path, text)] == [
        "5:1 unknown key `<<` in the plan"
    ]


def test_aliases_are_bounded():
    """Nine levels of ten aliases, a billion values, are refused at the place where they become too many."""
    levels = ["a: &a [x, x, x, x, x, x, x, x, x, x]"]
    for before, name in zip("abcdefgh", "bcdefghi", strict=True):
        levels.append(f"{name}: &{name} [{', '.join(['*' + before] * 10)}]")
    node, found = tree("\n".join(levels))
    assert node is None
    # 11 values stand for a, 111 for b, 1,111 for c and 11,111 for d: then one more d is too much.
    assert found == [(5, 8, "more than 20,000 values, aliases counted in full")]


@pytest.mark.parametrize("text", ["a: &a [*a]", "a: *b\nb: &b 1", "*x"])
def test_an_alias_before_or_inside_its_anchor_is_a_mistake(text):
    """An alias stands only for what is complete, so no tree holds itself."""
    node, found = tree(text)
    assert node is None
    assert len(found) == 1
    assert "stands for nothing" in found[0][2]


@pytest.mark.parametrize(
    "text",
    [
        "[" * 5000,
        "{a: " * 5000,
        "- " * 5000,
        "\n".join(f"{' ' * depth}a:" for depth in range(300)),
        "a0: &a0 [x]\n" + "\n".join(f"a{i}: &a{i} [*a{i - 1}]" for i in range(1, 60)),
    ],
)
def test_depth_is_bounded(text):
    """Nesting is refused at its bound, also when aliases stack it up; nothing recurses without one."""
    node, found = tree(text)
    assert node is None
    assert found[0][2] == f"more than {MAX_DEPTH} levels of lists and mappings"


def test_depth_up_to_the_bound_is_read():
    """The bound itself is allowed."""
    node, found = tree("[" * MAX_DEPTH + "]" * MAX_DEPTH)
    assert (node is not None, found) == (True, [])


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "1:1 there is nothing here"),
        (b"# only a comment\n\n", "1:1 there is nothing here"),
        (b"name: small\0", "1:12 a NUL byte: this is not a text file"),
        (b"\x89PNG\r\n\x1a\n\x00", "is not text in UTF-8: byte 0x89 in line 1"),
        (b"name: small\ntitle: caf\xe9\n", "is not text in UTF-8: byte 0xe9 in line 2"),
        (
            b"\xef\xbb\xbfname: small\n",
            "1:1 the file holds a byte order mark (U+FEFF) (save it as UTF-8 without",
        ),
        ("name: small\n".encode("utf-16"), "is saved as UTF-16 (save it as UTF-8)"),
        (b"name: \x1b[31mred\n", "1:7 character U+001B cannot stand in a plan"),
        (b"name: a\xe2\x80\xa8b\n", "1:8 character U+2028 cannot stand in a plan"),
        (b"- just\n- a list\n", "1:1 a plan is a mapping with name, suite, load and so on, not a list"),
        (b"a word\n", "1:1 a plan is a mapping with name, suite, load and so on, not `a word`"),
        (b"name: a\n---\nname: b\n", "2:1 a second document begins here"),
        (b"%YAML 2.0\n---\nname: a\n", "found incompatible YAML document"),
        (b"name: [1, 2\n", "this cannot be read as YAML"),
        (b"name: a: b\n", "1:8 this cannot be read as YAML: mapping values are not allowed here (check the"),
        (b"load:\n\t- x\n", "(indent with spaces, not tabs)"),
        (b'name: "\\UFFFFFFFF"\n', "a number is out of range"),
        (b"%YAML 1." + b"9" * 5000 + b"\n---\na: 1\n", "a number is out of range"),
        (b"[a]: 1\n", "a key must be a word"),
        (b"? {a: 1}\n: 2\n", "a key must be a word"),
    ],
)
def test_a_file_that_is_no_plan_is_one_clear_mistake(tmp_path, data, message):
    """Whatever the bytes, one sentence says what is wrong and where."""
    found = mistakes(tmp_path, data)
    assert len(found) == 1
    assert message in found[0]


def test_a_lone_surrogate_never_gets_into_a_plan(tmp_path):
    """Half of a JSON pair is replaced: no text of a plan fails to be written."""
    plan = read(tmp_path, SMALL + r'title: "x\ud83d"')
    assert plan.title == "x\N{REPLACEMENT CHARACTER}"


def test_a_folder_and_a_missing_file_are_mistakes(tmp_path):
    """What cannot be opened is said in words."""
    for path, reason in [
        (tmp_path, "it is a folder"),
        (tmp_path / "none.yaml", "there is no such file"),
        (tmp_path / "a\0b", "its name holds a NUL byte"),
        (tmp_path / ("x" * 300), "file name too long"),
    ]:
        with pytest.raises(PlanError, match=f"cannot be read: {reason}"):
            read_plan(path)


def test_a_large_file_is_refused_before_it_is_read(tmp_path):
    """A file far larger than memory is refused by its first megabyte."""
    file = tmp_path / "large.yaml"
    with file.open("wb") as handle:
        handle.truncate(10**12)
    with pytest.raises(PlanError, match="larger than 1 MB"):
        read_plan(file)


def test_one_megabyte_is_read(tmp_path):
    """The bound counts bytes, and a file at it is read."""
    padding = 1_000_000 - len(SMALL) - 1
    assert read(tmp_path, SMALL + "#" * padding + "\n").name == "small"
    with pytest.raises(PlanError, match="larger than 1 MB"):
        read(tmp_path, SMALL + "#" * (padding + 1) + "\n")


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_positions_hold_with_any_line_end(tmp_path, end):
    """Windows' and old Mac line ends count as lines."""
    text = SMALL.replace("\n", end) + f"seed: 1{end}sead: 2{end}"
    assert mistakes(tmp_path, text.encode()) == ["6:1 unknown key `sead` in the plan (did you mean `seed`?)"]


@pytest.mark.parametrize(
    ("text", "line", "column"),
    [
        ("a: value", 1, 4),
        ("a:    value", 1, 7),
        ("a: 'value'", 1, 5),
        ('a: "value"', 1, 5),
        ("a: &x value", 1, 7),
        ("a: &x 'value'", 1, 8),
        ("a: |\n  value\n", 2, 3),
        ("a: >-\n\n    value\n", 3, 5),
        ("a:\n  value", 2, 3),
        ("{x: 1, a: value}", 1, 11),
        ('{"x": 1, "a": "value"}', 1, 16),
        ("{x: 🚀, a: value}", 1, 11),
    ],
)
def test_a_scalar_is_where_its_text_begins(text, line, column):
    """The place of a value is its first own character, whatever its style."""
    node, _ = tree(text)
    scalar = node.entries["a"].node
    assert isinstance(scalar, Scalar)
    assert scalar.text.strip() == "value"
    assert (scalar.place.line, scalar.place.column) == (line, column)
    assert scalar.place.text[column - 1 :].startswith("value")


def test_credentials_never_show_in_a_quoted_line(tmp_path):
    """A mistake quotes its line without the password of a URL in it, the caret still in place."""
    text = SMALL + "overlays: {x: {sead: 1, target: 'https://user:hunter2@a.test'}}\n"
    file = write(tmp_path, text)
    with pytest.raises(PlanError) as caught:
        read_plan(file)
    [mistake] = caught.value.mistakes
    assert "hunter2" not in str(caught.value)
    assert mistake.position.text[mistake.position.column - 1 :].startswith("sead")
