"""Flows of a plan: what they mean, every way in which they can be wrong, and that they are written as read."""

import json

import pytest
from flowing import flows
from hypothesis import given, settings
from hypothesis import strategies as st
from planning import mistakes, read, write

from loadproof.errors import PlanError
from loadproof.plan.flows import (
    Alternative,
    Capture,
    Expect,
    Flow,
    Loop,
    Message,
    OneOf,
    Request,
    RowsFile,
    Span,
    Think,
    WebSocket,
)
from loadproof.plan.model import Phase, Plan, Region
from loadproof.plan.reader import Overrides, load_plan
from loadproof.plan.templates import Reference, parts_of, template_of
from loadproof.plan.writer import dump_plan

HEAD = """\
name: shop
load:
  - {phase: steady, duration: 1m, users: 10}
flows:
"""
FULL = """\
  Browser:
    weight: 3
    wait: 1s..3s
    headers: {Accept: application/json}
    rows: accounts.csv
    steps:
      - get: /items?user=${user}
        expect: {status: [200, 304], json: {"items.0.id": 7}, text: Welcome, headers: {X-Cache: hit}}
        check: items_listed
        capture: {item: "json:items.0.id", token: "header:X-Token", csrf: 'regex:value="(.+)"'}
      - think: 500ms
      - loop: 3
        steps:
          - post: /cart/${item}
            name: POST /cart
            headers: {Authorization: "Bearer ${token}", X-Try: 1}
            json: {item: "${item}", count: 2, gift: false}
      - websocket: /live
        steps:
          - send: hello ${user}
          - {receive: welcome, capture: {seat: "json:seat"}}
          - {send: ping, receive: pong, check: alive}
      - one_of:
          - {weight: 3, steps: [{put: "/seats/${seat}", form: {csrf: "${csrf}"}}, {think: 1s}]}
          - {delete: /cart, body: all, params: {q: "a b"}, expect: {status: 404}}
"""


def flow(folder, text, environ=None):
    [only] = read(folder, HEAD + text, environ=environ).flows
    return only


def steps(*lines, rows=False):
    """A flow of these steps, from line 7 on, or from 8 with rows."""
    header = "  Browser:\n" + ("    rows: accounts.csv\n" if rows else "") + "    steps:\n"
    return header + "".join(f"      - {line}\n" for line in lines)


@pytest.fixture(autouse=True)
def accounts(tmp_path):
    (tmp_path / "accounts.csv").write_text("user,password\nada,one\n")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """One folder for every example."""
    return tmp_path_factory.mktemp("flows")


def test_a_full_flow_means_what_it_says(tmp_path):
    """Every key arrives, in base units; a check without a name is called as its request or WebSocket."""
    assert flow(tmp_path, FULL) == Flow(
        name="Browser",
        weight=3.0,
        wait=Span(1_000_000, 3_000_000),
        headers={"Accept": "application/json"},
        rows=RowsFile(str(tmp_path / "accounts.csv"), ("user", "password")),
        steps=(
            Request(
                method="get",
                path="/items?user=${user}",
                expect=Expect(
                    status=(200, 304), json={"items.0.id": 7}, text="Welcome", headers={"X-Cache": "hit"}
                ),
                check="items_listed",
                capture=(
                    Capture("item", "json", "items.0.id"),
                    Capture("token", "header", "X-Token"),
                    Capture("csrf", "regex", 'value="(.+)"'),
                ),
            ),
            Think(Span(500_000, 500_000)),
            Loop(
                3,
                (
                    Request(
                        method="post",
                        path="/cart/${item}",
                        name="POST /cart",
                        headers={"Authorization": "Bearer ${token}", "X-Try": "1"},
                        json={"item": "${item}", "count": 2, "gift": False},
                    ),
                ),
            ),
            WebSocket(
                "/live",
                (
                    Message(send="hello ${user}"),
                    Message(
                        receive="welcome", check="WEBSOCKET /live", capture=(Capture("seat", "json", "seat"),)
                    ),
                    Message(send="ping", receive="pong", check="alive"),
                ),
            ),
            OneOf(
                (
                    Alternative(
                        3.0,
                        (
                            Request(method="put", path="/seats/${seat}", form={"csrf": "${csrf}"}),
                            Think(Span(1_000_000, 1_000_000)),
                        ),
                    ),
                    Alternative(
                        1.0,
                        (
                            Request(
                                method="delete",
                                path="/cart",
                                body="all",
                                params={"q": "a b"},
                                expect=Expect(status=(404,)),
                            ),
                        ),
                    ),
                )
            ),
        ),
    )


def test_a_flow_declares_its_checks(tmp_path):
    """Expectations under their step's name, captures under `capture(name)`: each once, in order."""
    assert flow(tmp_path, FULL).checks == (
        *("items_listed", "capture(item)", "capture(token)", "capture(csrf)"),
        *("WEBSOCKET /live", "capture(seat)", "alive"),
    )


def test_a_request_is_called_by_its_template(tmp_path):
    """Captured values never become names: a series is a template, not a URL."""
    first, second = flow(tmp_path, steps("get: /a/${user}?$${x}", "post: /b", rows=True)).steps

    assert (first.label, first.check_name) == ("GET /a/:user?${x}", "GET /a/:user?${x}")
    assert second.label == "POST /b"


def test_a_flow_stands_beside_a_suite(tmp_path):
    """Neither excludes the other."""
    plan = read(tmp_path, "suite: governance\n" + HEAD + steps("get: /a"))
    assert (plan.suite, [flow.name for flow in plan.flows]) == ("governance", ["Browser"])


def test_variables_are_told_from_values(tmp_path):
    """A name that the flow captures is the flow's even where a variable is called so; others are variables."""
    text = steps(
        "{get: '/${HOME}/${A:-b}', capture: {HOME2: 'json:id', item: 'json:${A:-b}'}}",
        "{get: '/${item}/$${item}', body: '$${A}${X}'}",
    )
    first, second = flow(tmp_path, text, environ={"HOME": "h", "item": "no", "X": "${item}$"}).steps

    assert first.path == "/h/b"
    assert first.capture[1] == Capture("item", "json", "b")
    assert parts_of(second.path) == ("/", Reference("item"), "/${item}")
    assert parts_of(second.body) == ("${A}${item}$",)


def test_rows_may_be_json(tmp_path):
    """The columns of a JSON file are the keys that every object has."""
    (tmp_path / "rows.json").write_text(json.dumps([{"a": 1, "b": 2, "c d": 3}, {"a": 1, "c d": 3, "e": 5}]))
    text = "  B: {rows: {file: rows.json, reuse: false}, steps: [{get: '/${a}'}]}\n"

    assert flow(tmp_path, text).rows == RowsFile(str(tmp_path / "rows.json"), ("a",), reuse=False)


def test_an_effective_plan_needs_no_rows_file(tmp_path):
    """A run folder is judged where the rows are not: its plan has the columns."""
    plan = read(tmp_path, HEAD + FULL)
    (tmp_path / "accounts.csv").unlink()

    assert read(tmp_path, dump_plan(plan)) == plan


def test_flags_reach_into_flows(tmp_path):
    """An overlay and --set change a flow as any other part."""
    text = HEAD + FULL + "overlays: {slow: {flows: {Browser: {wait: 9s}}}}\n"
    [changed] = read(tmp_path, text, Overrides(env="slow", set=("flows.Browser.weight=5",))).flows

    assert (changed.wait, changed.weight) == (Span(9_000_000, 9_000_000), 5.0)


@settings(max_examples=40)
@given(flow=flows())
def test_a_written_flow_reads_back_as_itself(folder, flow):
    """read(dump(plan)) == plan, for every flow, whatever stands in its texts."""
    plan = Plan(
        name="shop",
        title="shop",
        suite=None,
        locustfile=None,
        target="embedded",
        load=(Phase(name="steady", duration_us=1_000_000, users_from=1, users_to=1),),
        scenarios=None,
        regions=(Region(name="local"),),
        rules=(),
        flows=(flow,),
    )
    written = dump_plan(plan)

    assert read(folder, written) == plan
    assert read(folder, written, environ=dict.fromkeys(("item", "user", "A"), "no")) == plan


@given(st.lists(st.sampled_from(["$", "{", "}", "a", "${a}", "$${"]) | st.builds(Reference, st.just("a"))))
def test_a_template_reads_back_as_its_parts(parts):
    """Texts and references come back as they were, neighbouring texts joined, or the template is refused."""
    try:
        template = template_of(parts)
    except ValueError:
        return
    found = parts_of(template)

    assert list(map(str, found)) == [text for text in map(str, found) if text]
    assert "".join(map(str, found)) == "".join(map(str, parts))
    assert [part for part in found if isinstance(part, Reference)] == [
        part for part in parts if isinstance(part, Reference)
    ]


ANY = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-2, 600)
    | st.floats()
    | st.sampled_from(
        ["", "/a", "${x}", "${", "json:a", "regex:(", "header:é", "1s..2s", "accounts.csv", "\0"]
    ),
    lambda values: (
        st.lists(values, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "get",
                    "post",
                    "json",
                    "form",
                    "body",
                    "headers",
                    "expect",
                    "capture",
                    "check",
                    "think",
                    "loop",
                    "one_of",
                    "weight",
                    "websocket",
                    "send",
                    "receive",
                    "steps",
                    "rows",
                    "file",
                    "columns",
                    "wait",
                    "status",
                    "text",
                    "name",
                    "x",
                ]
            ),
            values,
            max_size=4,
        )
    ),
    max_leaves=20,
)


@settings(max_examples=150)
@given(ANY)
def test_whatever_stands_in_a_flow_is_read_or_refused(folder, value):
    """A plan or a PlanError comes of any steps, nothing else."""
    text = HEAD + "  Browser: {steps: " + json.dumps(value) + "}\n"
    try:
        plan = load_plan(write(folder, text), environ={}).plan
    except PlanError:
        return
    assert read(folder, dump_plan(plan)) == plan


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("  {}\n", ["5:3 `flows` is empty (remove it, or add {Browser: {steps: [{get: /items}]}})"]),
        (
            "  my-flow: {steps: [{get: /a}]}\n",
            ["5:3 `my-flow` cannot be the name of a scenario (write letters, digits and _, such as Browser)"],
        ),
        (
            "  class: {steps: [{get: /a}]}\n",
            ["5:3 `class` cannot be the name of a scenario (write letters, digits and _, such as Browser)"],
        ),
        (
            "  B: [{get: /a}]\n",
            ["5:6 the flow `B` must be a mapping with weight, wait, headers, rows, steps, not a list"],
        ),
        ("  B: {stps: [{get: /a}]}\n", ["5:7 unknown key `stps` in the flow `B` (did you mean `steps`?)"]),
        ("  B: {wait: 1s}\n", ["5:6 the flow `B` needs `steps`"]),
        (
            "  B: {weight: -1, steps: [{get: /a}]}\n",
            ["5:15 the weight of `B` must be from 0 to 1,000,000,000, not `-1`"],
        ),
        (
            "  B: {wait: 3, steps: [{get: /a}]}\n",
            [
                "5:13 `wait` must be a duration such as 30s or 2m, not `3` (a number needs a unit: us, ms, s, m, h or d)"
            ],
        ),
        (
            "  B: {wait: 1s..3, steps: [{get: /a}]}\n",
            ["5:13 `wait` must be a duration or a range of two, not `1s..3` (for example 1s..3s)"],
        ),
        (
            "  B: {wait: 3s..1s, steps: [{get: /a}]}\n",
            ["5:13 `wait` must go from a shorter to a longer time, at most a year (for example 1s..3s)"],
        ),
        (
            "  B: {headers: {'X Y': a, Z: null}, steps: [{get: /a}]}\n",
            ["5:17 `X Y` is not the name of a header", "5:30 `Z` must be a text, not nothing"],
        ),
        (
            '  B: {headers: {X: "a\\nb"}, steps: [{get: /a}]}\n',
            ["5:21 the header `X` holds a control character"],
        ),
        (
            "  B: {headers: {X: '${item}'}, steps: [{get: /a, capture: {item: 'json:a'}}]}\n",
            ["5:21 `item` is not captured on every way to here (the headers of a flow know its rows only)"],
        ),
        (
            "  B: {rows: nowhere.csv, steps: [{get: '/${user}'}]}\n",
            [
                (
                    "5:13 the rows `nowhere.csv` cannot be read: No such file or directory"
                    " (name a CSV or JSON file, relative to this plan)"
                )
            ],
        ),
        (
            "  B: {rows: empty.csv, steps: [{get: '/a'}]}\n",
            [
                (
                    "5:13 the rows `empty.csv` cannot be read: it is empty: its first line must name the columns"
                    " (name a CSV or JSON file, relative to this plan)"
                )
            ],
        ),
        (
            "  B: {rows: bad.json, steps: [{get: '/a'}]}\n",
            [
                (
                    "5:13 the rows `bad.json` cannot be read: it must be a list of objects"
                    " (name a CSV or JSON file, relative to this plan)"
                )
            ],
        ),
        (
            "  B: {rows: {path: a.csv}, steps: [{get: '/a'}]}\n",
            [
                "5:13 `rows` needs `file`",
                "5:14 unknown key `path` in `rows` (known are file, reuse, columns)",
            ],
        ),
        ("  B: {steps: []}\n", ["5:14 `steps` is empty (add a step such as {get: /items})"]),
        ("  B: {steps: {get: /a}}\n", ["5:14 `steps` must be a list of steps, not a mapping"]),
        (steps("/a"), ["7:9 a step must be a mapping such as {get: /items}, not `/a`"]),
        (steps("{gte: /a}"), ["7:10 there is no step `gte` (did you mean `get`?)"]),
        (
            steps("{name: x}"),
            [
                "7:9 a step needs one of get, post, put, patch, delete, head, options, think, loop, one_of, websocket"
            ],
        ),
        (
            steps("{get: /a, post: /b}"),
            ["7:9 a step does one thing, and this one has `get` and `post` (make it two steps)"],
        ),
        (
            steps("{get: items}"),
            ["7:15 `get` must be a path that starts with /, not `items` (write for example /items)"],
        ),
        (
            steps("{get: 'http://a.test/'}"),
            [
                "7:16 `get` must be a path that starts with /, not `http://a.test/` (the host is the plan's `target`)"
            ],
        ),
        (steps("{get: '/a b'}"), ["7:16 `get` holds a blank (write %20, or use `params`)"]),
        (steps("{get: [a]}"), ["7:15 `get` must be a text, not a list"]),
        (steps("{get: /a, jsn: {}}"), ["7:19 unknown key `jsn` in a `get` step (did you mean `json`?)"]),
        (
            steps("{post: /a, json: 1, body: x}"),
            ["7:35 a request has one body, and this one has `json` and `body` (remove one)"],
        ),
        (steps("{post: /a, json: null}"), ["7:26 `json` must be a value, not nothing"]),
        (steps("{post: /a, json: {a: .nan}}"), ["7:30 JSON has no number `.nan`"]),
        (steps("{post: /a, form: [a]}"), ["7:26 `form` must be a mapping of names to texts, not a list"]),
        (
            steps("{post: /a, body: '" + "x" * 4001 + "'}"),
            ["7:27 `body` has 4,001 characters, at most 4,000 are read"],
        ),
        (
            steps("{get: /a, expect: {stauts: 200}}"),
            ["7:28 unknown key `stauts` in `expect` (did you mean `status`?)"],
        ),
        (steps("{get: /a, expect: {status: 20}}"), ["7:36 `status` must be from 100 to 599, not `20`"]),
        (
            steps("{get: /a, expect: {status: []}}"),
            ["7:36 `status` is empty (write for example 200 or [200, 404])"],
        ),
        (
            steps("{get: /a, expect: {json: {'a..b': 1}}}"),
            ["7:35 `a..b` is no path in JSON (write for example items.0.id)"],
        ),
        (
            steps("{get: /a, expect: {status: 200}, check: ok}"),
            [
                (
                    "7:49 `check` names what `expect` looks at, and there is no `text`, `json` or `headers` in it"
                    " (a status alone makes the request ok or failed)"
                )
            ],
        ),
        (
            steps("{get: /a, check: ok}"),
            [
                (
                    "7:26 `check` names what `expect` looks at, and there is no `text`, `json` or `headers` in it"
                    " (a status alone makes the request ok or failed)"
                )
            ],
        ),
        (
            steps("{get: /a, expect: {text: b}, check: '${user}'}", rows=True),
            ["8:46 `check` cannot hold `${user}`, a value of the flow"],
        ),
        (
            steps("{get: /a, capture: {'1a': 'json:a'}}"),
            ["7:29 `1a` cannot be the name of a captured value (write letters, digits and _)"],
        ),
        (
            steps("{get: /a, capture: {user: 'json:a'}}", rows=True),
            ["8:29 `user` is a column of the rows (give what is captured another name)"],
        ),
        (
            steps("{get: /a, capture: {b: 'jsn:a'}}"),
            [
                "7:33 what is captured is written json:... or header:... or regex:..., not `jsn:a` (did you mean `json`?)"
            ],
        ),
        (
            steps("{get: /a, capture: {b: 'json'}}"),
            ["7:33 what is captured is written json:... or header:... or regex:..., not `json`"],
        ),
        (
            steps("{get: /a, capture: {b: 'json:a..b'}}"),
            ["7:38 `a..b` is no path in JSON (write for example items.0.id)"],
        ),
        (steps("{get: /a, capture: {b: 'header:é'}}"), ["7:40 `é` is not the name of a header"]),
        (
            steps("{get: /a, capture: {b: 'regex:a('}}"),
            ["7:39 this is no regular expression: missing ), unterminated subpattern at position 1"],
        ),
        (
            steps("{get: '/${b}'}"),
            [
                (
                    "7:17 no step captures `b`, it is no column of the rows, and the environment variable `b` is not set"
                    " (set it, or give a default: ${b:-value})"
                )
            ],
        ),
        (
            steps("{get: '/${usr}'}", rows=True),
            [
                (
                    "8:17 no step captures `usr`, it is no column of the rows, and the environment variable `usr` is not set"
                    " (did you mean `user`?)"
                )
            ],
        ),
        (
            steps("{get: '/${item}'}", "{get: /a, capture: {item: 'json:a'}}"),
            ["7:17 `item` is not captured on every way to here (let a step before this one capture it)"],
        ),
        (
            steps("{get: '/${item}', capture: {item: 'json:a'}}"),
            ["7:17 `item` is not captured on every way to here (let a step before this one capture it)"],
        ),
        (
            steps("{get: '/${item:-1}', capture: {item: 'json:a'}}"),
            ["7:17 `item` is a value of the flow, and takes no default (write ${item})"],
        ),
        (
            steps(
                "{one_of: [{get: /a, capture: {item: 'json:a'}}, {get: /b}]}",
                "{post: /c, json: ['x ${item}']}",
            ),
            ["8:30 `item` is not captured on every way to here (let a step before this one capture it)"],
        ),
        (
            steps("{get: '/${'}"),
            [
                (
                    "7:17 `${` needs the name of a variable and a closing brace, as in ${NAME} or ${NAME:-default}"
                    " (write `$${` for the text itself)"
                )
            ],
        ),
        (
            steps("{think: 5}"),
            [
                "7:17 `think` must be a duration such as 30s or 2m, not `5` (a number needs a unit: us, ms, s, m, h or d)"
            ],
        ),
        (steps("{think: 1s, steps: []}"), ["7:21 unknown key `steps` in a `think` step (known are think)"]),
        (steps("{loop: 0, steps: [{get: /a}]}"), ["7:16 `loop` must be from 1 to 1,000,000, not `0`"]),
        (steps("{loop: 3}"), ["7:9 a `loop` step needs `steps`"]),
        (
            steps("{one_of: []}"),
            ["7:9 `one_of` has nothing to choose (for example [{weight: 3, get: /items}, {get: /cart}])"],
        ),
        (
            steps("{one_of: [{weight: 0, get: /a}]}"),
            ["7:9 `one_of` has nothing to choose (for example [{weight: 3, get: /items}, {get: /cart}])"],
        ),
        (
            steps("{one_of: [{weight: x, get: /a}]}"),
            ["7:28 the weight of `one_of` must be a number, not `x`"],
        ),
        (
            steps("{one_of: [{weight: 2}]}"),
            [
                "7:19 a step needs one of get, post, put, patch, delete, head, options, think, loop, one_of, websocket"
            ],
        ),
        (
            steps("{send: hello}"),
            ["7:9 a message needs a WebSocket (put it below the `steps` of a `websocket`)"],
        ),
        (steps("{websocket: /a}"), ["7:9 a `websocket` step needs `steps`"]),
        (
            steps("{websocket: /a, steps: [{sned: b}]}"),
            ["7:34 there is no step `sned` (did you mean `send`?)"],
        ),
        (
            steps("{websocket: /a, steps: [{websocket: /b, steps: [{send: b}]}]}"),
            ["7:33 a WebSocket cannot stand inside another (put it behind the other's steps)"],
        ),
        (
            steps("{websocket: /a, steps: [{send: b, check: c}]}"),
            [
                '7:50 `check` looks at a message that is received, and there is none (add `receive: ""` for any message)'
            ],
        ),
        (
            steps("{websocket: /a, steps: [{receive: b, capture: {a: 'header:b'}}]}"),
            ["7:60 what is captured is written json:... or regex:..., not `header:b`"],
        ),
    ],
)
def test_a_mistake_is_told_with_its_place(tmp_path, text, expected):
    """Line, column, what is wrong and what to do; a mistake brings no other in its train."""
    (tmp_path / "empty.csv").write_text("")
    (tmp_path / "bad.json").write_text("{}")

    assert mistakes(tmp_path, HEAD + text) == expected


def test_flows_are_a_mapping(tmp_path):
    """A list of flows is told how flows are written."""
    [told] = mistakes(tmp_path, HEAD.replace("flows:", "flows: []"))

    assert told.startswith("4:8 `flows` must be a mapping of names to flows, not a list")


def test_a_dollar_from_a_variable_cannot_swallow_a_value(tmp_path):
    """`$` before `${item}` would read as the text `${item}`: it is refused, not sent."""
    text = steps("{get: /a, capture: {item: 'json:a'}}", "{get: '/${D}${item}'}")

    assert mistakes(tmp_path, HEAD + text, environ={"D": "$"}) == [
        "8:16 a text that ends in $ cannot stand before ${item} (let the variable hold no $ at its end)"
    ]
