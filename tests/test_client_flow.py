"""Flows played: what goes over the wire, what is checked and captured, and what ends a pass."""

import json
import time
from collections import Counter

import pytest
from flow_playing import played, site
from planning import write
from speaking import speaking

HEAD = """\
name: shop
load: [{phase: steady, duration: 1m, users: 2}]
flows:
  Browser:
"""


def shop(method, path):
    """A small shop: items, a cart, pages that redirect, fail or are missing."""
    match path.partition("?")[0]:
        case "/items":
            items = {"items": [{"id": 7, "name": "Äpfel & Co", "sold": False, "tags": ["a"], "none": None}]}
            return 200, {"X-Token": "t-1", "Content-Type": "application/json"}, json.dumps(items)
        case "/form":
            return 200, {}, '<input name="csrf" value="c/1">'
        case "/old":
            return 302, {"Location": "/new"}, ""
        case "/away":
            return 302, {"Location": "http://other.test/x"}, ""
        case "/broken":
            return 503, {}, "no"
        case _:
            return 200, {}, f"{method} {path}"


@pytest.fixture
def play(tmp_path):
    """Plays a flow's text; gives what the player saw and what the site was asked."""

    def play(text, passes=1, url=None):
        plan = write(tmp_path, HEAD + text)
        with site(shop) as server:
            return played(plan, url or server.url, passes), server.asked

    return play


def test_captured_values_go_where_they_are_named(play):
    """In paths, headers, bodies, forms and parameters; a JSON number stays a number where it stands alone."""
    seen, asked = play("""\
    headers: {Accept: application/json}
    steps:
      - get: /items
        capture: {item: "json:items.0.id", name: "json:items.0.name", token: "header:x-token", all: "json:items.0"}
      - {get: /form, capture: {csrf: 'regex:name="csrf" value="([^"]+)"', tag: 'regex:<\\w+'}}
      - post: /cart/${item}
        headers: {Authorization: "Bearer ${token}", Accept: "*/*"}
        json: {item: "${item}", text: "no ${item}", all: "${all}", list: ["${item}", 1.5, null, true], "$${item}": x}
      - {put: /form, form: {csrf: "${csrf}", name: "${name}"}}
      - {delete: /cart, params: {name: "${name}"}, body: "<${tag}> $${item} ${all}"}
""")

    assert [(method, path) for method, path, _, _ in asked] == [
        ("GET", "/items"),
        ("GET", "/form"),
        ("POST", "/cart/7"),
        ("PUT", "/form"),
        ("DELETE", "/cart?name=%C3%84pfel+%26+Co"),
    ]
    item = {"id": 7, "name": "Äpfel & Co", "sold": False, "tags": ["a"], "none": None}
    assert json.loads(asked[2][3]) == {
        "item": 7,
        "text": "no 7",
        "all": item,
        "list": [7, 1.5, None, True],
        "$${item}": "x",
    }
    assert (asked[2][2]["Authorization"], asked[2][2]["Accept"]) == ("Bearer t-1", "*/*")
    assert asked[1][2]["Accept"] == "application/json"
    assert asked[3][3] == "csrf=c%2F1&name=%C3%84pfel+%26+Co"
    assert asked[3][2]["Content-Type"] == "application/x-www-form-urlencoded"
    assert asked[4][3] == "<<input> ${item} " + json.dumps(item, ensure_ascii=False)
    assert [name for _, name, _ in seen["requests"]] == [
        *("GET /items", "GET /form", "POST /cart/:item", "PUT /form", "DELETE /cart"),
    ]
    assert all(outcome for _, outcome, _ in seen["checks"])


EXPECTED = {
    'json: {items.0.id: 7, items.0.tags: [a], items.0.none: null}, text: pfel, headers: {x-token: "t-1"}': None,
    "json: {items.0.id: 7.0, items.0.sold: false}": None,
    "json: {items.0.id: 8}": "items.0.id is 7, not 8",
    "json: {items.0.sold: 0}": "items.0.sold is false, not 0",
    "json: {items.0.id: '7'}": 'items.0.id is 7, not "7"',
    "json: {items.0: {id: 7}}": 'items.0 is {"id": 7,',
    "json: {items.0.tags: [b]}": 'items.0.tags is ["a"], not ["b"]',
    "json: {items.1.id: 7}": 'nothing at items.1.id in `{"items"',
    "json: {items.x: 7}": "nothing at items.x in",
    "json: {items.0.id.x: 7}": "nothing at items.0.id.x in",
    "text: Birnen": 'no `Birnen` in `{"items"',
    'headers: {X-Token: "t-2"}': "header X-Token is `t-1`, not `t-2`",
    "headers: {X-None: a}": "the answer has no header X-None",
}


def test_an_expectation_is_a_check(play):
    """It passes or fails beside the request, which stays ok, and its evidence says what was seen."""
    lines = [
        f"      - {{get: /items, expect: {{{expect}}}, check: c{number}}}\n"
        for number, expect in enumerate(EXPECTED)
    ]
    seen, _ = play("    steps:\n" + "".join(lines))

    assert [error for _, _, error in seen["requests"]] == [None] * len(EXPECTED), (
        "a failed check ends nothing"
    )
    assert len(seen["checks"]) == len(EXPECTED)
    for number, (told, (name, passed, detail)) in enumerate(
        zip(EXPECTED.values(), seen["checks"], strict=True)
    ):
        assert (name, passed) == (f"c{number}", told is None), detail
        assert (detail or "").startswith(told or "")


def test_an_answer_that_is_no_json_fails_the_check(play):
    """The evidence shows what came instead."""
    seen, _ = play("    steps: [{get: /form, expect: {json: {a: 1}}}]\n")

    assert seen["checks"] == [
        ["GET /form", False, 'the answer is no JSON: `<input name="csrf" value="c/1">`']
    ]


def test_the_expected_status_makes_a_request_ok(play):
    """An expected 503 is ok and a 200 in its place failed; what looks at a failed request is skipped."""
    seen, _ = play("""\
    steps:
      - {get: /broken, expect: {status: 503, text: "no"}}
      - {get: /items, expect: {status: [201, 204], text: x}, name: wrong}
      - {get: /broken, expect: {text: x}, name: down}
""")

    first, wrong, down = seen["requests"]
    assert first == ["GET", "GET /broken", None]
    assert wrong == ["GET", "wrong", "HTTP 200, expected 201 or 204"]
    assert down[2] is not None
    assert seen["checks"] == [
        ["GET /broken", True, None],
        ["wrong", None, None],
        ["down", None, None],
    ]


def test_an_expected_redirect_is_not_followed(play):
    """A step that expects 302 sees it; others follow."""
    seen, asked = play("""\
    steps:
      - {get: /old, expect: {status: 302}, capture: {to: "header:Location"}}
      - {get: "${to}"}
      - {get: /old, name: followed}
""")

    assert [path for _, path, _, _ in asked] == ["/old", "/new", "/old", "/new"]
    assert [error for _, _, error in seen["requests"]] == [None, None, None]


def test_an_address_of_another_host_is_never_loaded(play):
    """A captured URL that leads away from the target ends the pass; one of the target is loaded."""
    seen, asked = play("""\
    steps:
      - {get: /away, expect: {status: 302}, capture: {to: "header:Location"}}
      - {get: "${to}"}
      - {get: /never}
""")

    assert [path for _, path, _, _ in asked] == ["/away"]
    assert len(seen["requests"]) == 1


def test_a_missing_value_abandons_the_pass(play):
    """The check of the capture fails with its evidence, the rest is left out, and the next pass begins anew."""
    seen, asked = play(
        """\
    steps:
      - {get: /items, capture: {item: "json:items.0.id", lost: "json:items.0.none"}}
      - {get: "/${lost}"}
""",
        passes=2,
    )

    assert [path for _, path, _, _ in asked] == ["/items", "/items"]
    assert (
        seen["checks"]
        == [
            ["capture(item)", True, None],
            ["capture(lost)", False, "items.0.none is null"],
        ]
        * 2
    )


def test_a_failed_request_has_no_values(play):
    """Its captures are skipped, not failed, and the pass is abandoned."""
    seen, asked = play('    steps: [{get: /broken, capture: {a: "regex:.*"}}, {get: /never}]\n')

    assert [path for _, path, _, _ in asked] == ["/broken"]
    assert seen["checks"] == [["capture(a)", None, None]]


def test_a_target_that_is_gone_fails_requests_only(play):
    """No connection is a failed request and skipped checks; nothing is raised."""
    seen, asked = play(
        "    steps: [{get: /a, expect: {text: a}, capture: {b: 'regex:a'}}]\n", url="http://127.0.0.1:1"
    )

    assert asked == []
    assert [name for _, name, error in seen["requests"] if error] == ["GET /a"]
    assert [outcome for _, outcome, _ in seen["checks"]] == [None, None]


def test_loops_turn_and_choices_are_weighted(play):
    """Three turns each; a weight of 0 is never chosen, 9 of 10 is chosen mostly."""
    seen, _ = play(
        """\
    steps:
      - loop: 3
        steps: [{get: /a}]
      - one_of: [{weight: 9, steps: [{get: /b}, {get: /c}]}, {get: /d}, {weight: 0, get: /e}]
""",
        passes=60,
    )
    counts = Counter(name for _, name, _ in seen["requests"])

    assert counts["GET /a"] == 180
    assert counts["GET /b"] == counts["GET /c"]
    assert counts["GET /b"] + counts["GET /d"] == 60
    assert counts["GET /b"] > counts["GET /d"]
    assert "GET /e" not in counts


def test_thinking_takes_its_time(play):
    """At least the shorter time of the range passes between two requests."""
    begin = time.monotonic()
    play("    steps: [{get: /a}, {think: 300ms..400ms}, {get: /b}]\n")

    assert time.monotonic() - begin >= 0.3


def test_each_pass_takes_a_row(play, tmp_path):
    """In order, again from the first when the rows are used up; without reuse the user stops."""
    (tmp_path / "rows.csv").write_text("user,age\nada,36\nbob,7\n")
    text = "    rows: {{file: rows.csv, reuse: {}}}\n    steps: [{{get: '/${{user}}', params: {{age: '${{age}}'}}}}]\n"

    seen, asked = play(text.format("true"), passes=3)
    assert [path for _, path, _, _ in asked] in [
        [f"/{name}" for name in names]
        for names in (
            ("ada?age=36", "ada?age=36", "ada?age=36"),
            ("ada?age=36", "bob?age=7", "ada?age=36"),
        )
    ]
    seen, asked = play(text.format("false"), passes=3)
    assert seen["stopped"] == ["Browser"] * (3 - len(asked))
    assert 1 <= len(asked) <= 2


def test_no_captured_value_breaks_a_pass(tmp_path):
    """Whatever a target lets a flow capture, it is sent or its request fails, and the next pass begins."""
    values = ["\ud800", "a\r\nX: y", "\0", "☃", "@other.test/", {"a": "\ud800"}]
    flows = "".join(
        f"""\
  V{number}:
    steps:
      - {{get: /v/{number}, capture: {{value: "json:value"}}}}
      - {{get: "/${{value}}", headers: {{X-Value: "${{value}}"}}}}
      - {{post: /w/{number}, form: {{a: "${{value}}"}}, params: {{a: "${{value}}"}}}}
      - {{post: /w/{number}, body: "${{value}}"}}
      - {{post: /w/{number}, json: "${{value}}"}}
      - {{get: /end/{number}}}
"""
        for number in range(len(values))
    )
    plan = write(tmp_path, HEAD.replace("  Browser:\n", flows))

    def answer(_, path):
        number = path.partition("?")[0].rpartition("/")[2]
        return 200, {}, json.dumps({"value": values[int(number) if number.isdecimal() else 0]})

    with site(answer) as server:
        played(plan, server.url, 2)
    counts = Counter(path.partition("?")[0] for _, path, _, _ in server.asked)

    for number in range(len(values)):
        assert counts[f"/v/{number}"] == 2
        assert counts[f"/end/{number}"] == 2
        assert counts[f"/w/{number}"] == 6


def test_a_websocket_is_talked_to(tmp_path):
    """Messages and round trips with a real server; one that is refused has failed, and ends the pass."""
    plan = write(
        tmp_path,
        HEAD
        + """\
    headers: {X-Kind: flow}
    steps:
      - websocket: /live
        steps:
          - {send: asked, receive: headers, capture: {kind: "json:headers.x-kind", seen: "json:path"}}
          - {send: "many 2"}
          - {receive: push 0, check: first}
          - {receive: "", check: second}
          - loop: 2
            steps: [{send: "say ${kind} ${seen}", receive: "say flow /live", check: echoed}]
      - websocket: /refused
        name: WEBSOCKET nowhere
        steps: [{send: a}]
      - websocket: /never
        steps: [{send: a}]
""",
    )
    with speaking() as port:
        seen = played(plan, f"http://127.0.0.1:{port}")

    assert [(name, error is None) for _, name, error in seen["requests"]] == [
        ("WEBSOCKET /live", True),
        ("WEBSOCKET nowhere", False),
    ]
    assert [(name, passed) for name, passed, _ in seen["checks"]] == [
        ("WEBSOCKET /live", True),
        ("capture(kind)", True),
        ("capture(seen)", True),
        ("first", True),
        ("second", True),
        ("echoed", True),
        ("echoed", True),
    ]
