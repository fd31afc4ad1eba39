"""Proofs and refutations: Z3's answers against trying everything, under concurrency and out of time."""

from __future__ import annotations

import asyncio
import json
import threading

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families
from proving import (
    FORMULAS,
    INTEGERS,
    VARIABLES,
    constraints_problem,
    obligation_problem,
    pigeons,
    solutions,
)
from serving import HASH, HEADERS, ROOT, serving

from locustfiles.governance.formulas import evaluate
from target import prover
from target.obligation import MOST_LEVELS, MOST_NODES, FormulaError
from target.prover import LIMIT_MS, THREADS, BusyError, Prover

OBLIGATION = {
    "variables": {
        "amount": {"type": "integer", "minimum": -5, "maximum": 9},
        "approved": {"type": "boolean"},
    },
    "assumptions": [["<", "amount", 3], ["implies", "approved", [">=", "amount", 0]]],
    "goal": ["or", ["not", "approved"], ["<=", "amount", 2]],
}
CONSTRAINTS = {
    "variables": OBLIGATION["variables"],
    "constraints": ["approved", ["=", ["*", 3, "amount"], 9]],
}
UNPROVABLE = {**OBLIGATION, "goal": ["<", "amount", 2]}
UNSATISFIABLE = {**CONSTRAINTS, "constraints": [["=", ["*", 3, "amount"], 8]]}
HARD = pigeons(12, 11)


@pytest.fixture(scope="module")
def target(tmp_path_factory):
    with serving(folder=tmp_path_factory.mktemp("formal")) as served:
        yield served
        # A defect leaves its traceback here.
        assert served.end() == 0
        assert served.process.communicate()[1] == b""


@pytest.fixture
def client(target):
    with target.client() as client:
        yield client


@pytest.fixture(scope="module")
def solver():
    return Prover()


def solved(solver, *problems):
    """Their solutions, all asked for at once."""

    async def ask():
        return await asyncio.gather(*map(solver.solve, problems), return_exceptions=True)

    return asyncio.run(ask())


def refused(answer: httpx.Response, status: int, code: str) -> str:
    """The message of an error answer."""
    assert answer.status_code == status, answer.text
    assert answer.json()["error"]["code"] == code
    assert answer.json()["constitutional_hash"] == answer.headers["X-Constitutional-Hash"] == HASH
    message: str = answer.json()["error"]["message"]
    return message


def test_what_holds_is_proved(client):
    """An obligation that holds: proved, without a model, and with what it cost."""
    answer = client.post("/proofs", json=OBLIGATION)

    assert answer.status_code == 200
    body = answer.json()
    assert 0 < body.pop("solver_us") < 10_000_000
    assert body == {"result": "proved", "model": None, "constitutional_hash": HASH}


def test_what_does_not_hold_is_refuted(client):
    """The model has every variable, makes the assumptions true and the goal false."""
    body = client.post("/proofs", json=UNPROVABLE).json()

    assert body["result"] == "refuted"
    assert body["model"] == {"amount": 2, "approved": body["model"]["approved"]}


def test_the_documented_example_is_as_documented(client):
    """The obligation in docs/target.md is proved, and with 499 for its last 500 refuted."""
    text = (ROOT / "docs" / "target.md").read_text().split("## Proofs")[1].split("```json")[1].split("```")[0]
    before, _, after = text.rpartition("500")

    assert client.post("/proofs", content=text).json()["result"] == "proved"
    assert client.post("/proofs", content=f"{before}499{after}").json()["result"] == "refuted"


def test_constraints_are_satisfied_or_not(client):
    """A witness where there is one, otherwise none."""
    satisfied = client.post("/proofs/constraints", json=CONSTRAINTS).json()
    unsatisfied = client.post("/proofs/constraints", json=UNSATISFIABLE).json()

    assert (satisfied["result"], satisfied["witness"]) == ("satisfiable", {"amount": 3, "approved": True})
    assert (unsatisfied["result"], unsatisfied["witness"]) == ("unsatisfiable", None)
    assert set(satisfied) == {"result", "witness", "solver_us", "constitutional_hash"}


@pytest.mark.parametrize(
    ("document", "result"),
    [
        ({"variables": {}, "assumptions": [], "goal": True}, "proved"),
        ({"variables": {}, "assumptions": [], "goal": False}, "refuted"),
        ({"variables": {}, "assumptions": [["<", 2, 1]], "goal": False}, "proved"),
        ({**OBLIGATION, "assumptions": ["approved", ["not", "approved"]], "goal": False}, "proved"),
        ({**OBLIGATION, "assumptions": [], "goal": ["<=", -5, "amount"]}, "proved"),
        ({**OBLIGATION, "assumptions": [], "goal": ["<", -5, "amount"]}, "refuted"),
        ({**OBLIGATION, "goal": ["and", ["or", ["and", ["<", "amount", 3]]]]}, "proved"),
        ({**OBLIGATION, "goal": ["=", "approved", ["!=", "approved", True]]}, "refuted"),
        ({**OBLIGATION, "goal": ["<", ["*", 2**53 - 1, ["*", 2**53 - 1, "amount"]], 2**53 - 1]}, "refuted"),
    ],
)
def test_the_edges_of_the_language(client, document, result):
    """No variables, contradicting assumptions, one operand, booleans compared, and no overflow."""
    body = client.post("/proofs", json=document).json()

    assert body["result"] == result
    assert (body["model"] is None) is (result == "proved")


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(assumptions=st.lists(FORMULAS, max_size=2), goal=FORMULAS)
def test_proofs_are_what_trying_everything_shows(solver, assumptions, goal):
    """Z3 refutes exactly the obligations that some assignment refutes, and its model is such a one."""
    obligation_is_right(solver, assumptions, goal)


@pytest.mark.long
@settings(max_examples=5_000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(assumptions=st.lists(FORMULAS, max_size=3), goal=FORMULAS)
def test_proofs_are_what_trying_everything_shows_always(solver, assumptions, goal):
    """The same, many times over."""
    obligation_is_right(solver, assumptions, goal)


def obligation_is_right(solver, assumptions, goal):
    document = {"variables": VARIABLES, "assumptions": assumptions, "goal": goal}
    (solution,) = solved(solver, obligation_problem(document))
    refuting = list(solutions(VARIABLES, [*assumptions, ["not", goal]]))

    assert solution.satisfiable is bool(refuting)
    assert solution.values in refuting if refuting else solution.values is None


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(constraints=st.lists(FORMULAS, max_size=3))
def test_witnesses_are_what_trying_everything_shows(solver, constraints):
    """Constraints are satisfiable exactly if some assignment makes them all true, and the witness is one."""
    document = {"variables": VARIABLES, "constraints": constraints}
    (solution,) = solved(solver, constraints_problem(document))
    witnesses = list(solutions(VARIABLES, constraints))

    assert solution.satisfiable is bool(witnesses)
    assert solution.values in witnesses if witnesses else solution.values is None


@settings(max_examples=100, deadline=None)
@given(formula=FORMULAS, data=st.data())
def test_both_evaluators_agree(formula, data):
    """The target's evaluation of a formula, which its models must pass, is the client's."""
    values = {
        "x": data.draw(st.integers(-2, 2)),
        "y": data.draw(st.integers(0, 3)),
        "z": 1,
        "p": data.draw(st.booleans()),
        "q": data.draw(st.booleans()),
    }
    problem = constraints_problem({"variables": VARIABLES, "constraints": [formula]})

    assert problem.satisfied_by(values) is bool(evaluate(formula, values))


def test_values_outside_their_bounds_satisfy_nothing():
    """Neither beyond the bounds nor of the other type, however true the formulas are."""
    problem = constraints_problem({**CONSTRAINTS, "constraints": []})

    assert problem.satisfied_by({"amount": 9, "approved": False})
    assert not problem.satisfied_by({"amount": 10, "approved": False})
    assert not problem.satisfied_by({"amount": True, "approved": False})
    assert not problem.satisfied_by({"amount": 1, "approved": 1})


def nested(levels: int):
    formula = "approved"
    for _ in range(levels):
        formula = ["not", formula]
    return formula


@pytest.mark.parametrize(
    ("formula", "said"),
    [
        ("amount", "is an integer, a boolean is needed"),
        (7, "is an integer, a boolean is needed"),
        (["+", "amount", 1], "is an integer, a boolean is needed"),
        ("nobody", "there is no variable 'nobody'"),
        (["<", "amount", "approved"], "[2] is a boolean, an integer is needed"),
        (["=", "amount", "approved"], "[2] is a boolean, an integer is needed"),
        (["=", "approved", 1], "[2] is an integer, a boolean is needed"),
        (["and", ["or", ["not", "amount"]]], "[1][1][1] is an integer"),
        (["and"], "`and` takes at least 1 operands, not 0"),
        (["not", "approved", "approved"], "`not` takes 1 operands, not 2"),
        (["<", 1, 2, 3], "`<` takes 2 operands, not 3"),
        (["<", ["+", 1], 2], "[1]: `+` takes at least 2 operands, not 1"),
        (["=", ["*", "amount", "amount"], 1], "[1][1]: the first factor is an integer literal"),
        (["=", ["*", True, "amount"], 1], "[1][1]: the first factor is an integer literal"),
        (["=", ["*", 2**53, "amount"], 1], "[1][1] is no expression"),
        (["xor", "approved", "approved"], "'xor' is no operator; they are and or not"),
        ([], "is no expression"),
        ([1, 2], "is no expression"),
        ([["and"], True], "is no expression"),
        (None, "is no expression"),
        (1.5, "is no expression"),
        (2**53, "is no expression"),
        (10**400, "is no expression"),
        ({"and": []}, "is no expression"),
        (["<", "amount", 1e3], "[2] is no expression"),
        (nested(MOST_LEVELS + 1), f"at most {MOST_LEVELS} levels"),
        (["and", *["approved"] * MOST_NODES], f"at most {MOST_NODES} literals, names and operators"),
    ],
)
def test_a_wrong_formula_is_refused_where_it_is_wrong(client, formula, said):
    """422 whose message shows the place, as a goal, an assumption and a constraint."""
    as_goal = client.post("/proofs", content=json.dumps({**OBLIGATION, "goal": formula}))
    as_assumption = client.post("/proofs", content=json.dumps({**OBLIGATION, "assumptions": [True, formula]}))
    as_constraint = client.post(
        "/proofs/constraints", content=json.dumps({**CONSTRAINTS, "constraints": [formula]})
    )

    for answer, where in (
        (as_goal, "goal"),
        (as_assumption, "assumptions[1]"),
        (as_constraint, "constraints[0]"),
    ):
        message = refused(answer, 422, "invalid_formula")
        assert message.startswith(where)
        assert said in message


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"X": {"type": "boolean"}}, "variables"),
        ({"x": {"type": "real"}}, "$.variables[...].type"),
        ({"x": {}}, "type"),
        ({"x": {"type": "integer", "minimum": 0}}, "maximum"),
        ({"x": {"type": "integer", "minimum": 1, "maximum": 0}}, "no integer is at least 1 and at most 0"),
        ({"x": {"type": "integer", "minimum": 0, "maximum": 2**53}}, "$.variables[...].maximum"),
        ({"x": {"type": "boolean", "minimum": 0}}, "minimum"),
        ({f"x{number}": {"type": "boolean"} for number in range(33)}, "$.variables"),
    ],
)
def test_a_wrong_variable_is_refused(client, variables, said):
    """422 that names the field."""
    document = {"variables": variables, "constraints": []}

    assert said in refused(client.post("/proofs/constraints", json=document), 422, "invalid_field")


@pytest.mark.parametrize("levels", [MOST_LEVELS - 1, MOST_LEVELS])
def test_the_deepest_formula_is_read(levels):
    """MOST_LEVELS lists within each other are allowed, and negations cancel as they should."""
    problem = constraints_problem({**CONSTRAINTS, "constraints": [nested(levels)]})

    assert problem.satisfied_by({"amount": 0, "approved": levels % 2 == 0})


def test_the_largest_document_is_read(solver):
    """MOST_NODES literals, names and operators are allowed, one more is not."""
    full = {**CONSTRAINTS, "constraints": [["and", *["approved"] * (MOST_NODES - 1)]]}
    (solution,) = solved(solver, constraints_problem(full))

    assert solution.values["approved"] is True
    with pytest.raises(FormulaError):
        constraints_problem({**CONSTRAINTS, "constraints": [*full["constraints"], True]})


@pytest.mark.parametrize(("path", "body"), [("/proofs", OBLIGATION), ("/proofs/constraints", CONSTRAINTS)])
def test_requests_name_the_hash(target, path, body):
    """Without the header 400, with another hash 412."""
    refused(httpx.post(target.url + path, json=body), 400, "constitutional_hash_missing")
    other = httpx.post(target.url + path, json=body, headers={"X-Constitutional-Hash": "feed"})
    refused(other, 412, "constitutional_hash_mismatch")


ANY_JSON = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        st.sampled_from(
            ["amount", "approved", "and", "<", "*", "", "\ud800", 2**53, 10**400, ") (check-sat)"]
        ),
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["type", "and"]), inner),
    max_leaves=8,
)


@st.composite
def damaged(draw, document):
    """The document with something in it exchanged for any JSON."""
    if isinstance(document, (dict, list)) and document and draw(st.integers(0, 4)):
        key = draw(st.sampled_from(sorted(document) if isinstance(document, dict) else range(len(document))))
        copy = document.copy()
        copy[key] = draw(damaged(document[key]))
        return copy
    return draw(st.one_of(ANY_JSON, FORMULAS, INTEGERS))


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(document=st.sampled_from([OBLIGATION, UNPROVABLE, CONSTRAINTS]).flatmap(damaged))
def test_no_document_is_a_defect(client, document):
    """Whatever is sent, it is answered or refused with 400 or 422, in the form of all answers."""
    content = json.dumps(document).encode()
    for path in ("/proofs", "/proofs/constraints"):
        answer = client.post(path, content=content)
        assert answer.status_code in {200, 400, 422}, (document, answer.text)
        assert answer.json()["constitutional_hash"] == HASH


@pytest.mark.parametrize("opening", [b"[", b'["not",', b'{"goal":'])
def test_absurd_nesting_is_refused(client, opening):
    """JSON of a hundred thousand levels is refused as any other that is wrong."""
    answer = client.post("/proofs", content=b'{"variables":{},"assumptions":[],"goal":' + opening * 100_000)

    assert answer.status_code in {400, 422}
    assert client.post("/proofs", json=OBLIGATION).status_code == 200


def test_what_takes_too_long_is_503(client):
    """No wrong answer: the code `unknown`, counted as such in the metrics, and the next one is right."""
    before = proofs(client)
    message = refused(client.post("/proofs/constraints", json=HARD), 503, "unknown")

    assert f"{LIMIT_MS} ms" in message
    assert proofs(client)["unknown"] == before.get("unknown", 0) + 1
    assert client.post("/proofs/constraints", json=CONSTRAINTS).json()["result"] == "satisfiable"


def proofs(client) -> dict[str, float]:
    """How many there were of each result."""
    return {
        sample.labels["result"]: sample.value
        for family in text_string_to_metric_families(client.get("/metrics").text)
        for sample in family.samples
        if sample.name == "target_proof_duration_seconds_count"
    }


def test_proofs_are_counted_and_timed(tmp_path):
    """Each result has its histogram, of CPU time of the solver, over both processes."""
    with serving("--processes", "2", folder=tmp_path) as served:
        sent = [
            ("/proofs", OBLIGATION),
            ("/proofs", UNPROVABLE),
            ("/proofs/constraints", CONSTRAINTS),
            ("/proofs/constraints", UNSATISFIABLE),
        ] * 3
        answers = [httpx.post(served.url + path, json=body, headers=HEADERS).json() for path, body in sent]
        with served.client() as client:
            counted = proofs(client)
            (line,) = (
                line
                for line in client.get("/metrics").text.splitlines()
                if line.startswith('target_proof_duration_seconds_sum{result="proved"}')
            )

    assert counted == {"proved": 3, "refuted": 3, "satisfiable": 3, "unsatisfiable": 3}
    spent = sum(answer["solver_us"] for answer in answers if answer["result"] == "proved")
    assert float(line.split()[-1]) == pytest.approx(spent / 1e6)


def test_the_event_loop_serves_on_while_the_solver_works():
    """While a problem keeps a thread busy until its time is up, the event loop goes round."""
    solver = Prover(limit_ms=200)
    problem = constraints_problem(HARD)

    async def rounds() -> tuple[int, bool | None]:
        solving = asyncio.ensure_future(solver.solve(problem))
        count = 0
        while not solving.done():
            await asyncio.sleep(0)
            count += 1
        return count, solving.result().satisfiable

    count, satisfiable = asyncio.run(rounds())

    assert satisfiable is None
    assert count > 10


def test_the_pool_is_right_under_concurrency(monkeypatch):
    """Many problems at once, some out of time, on threads that renew their contexts: no answer is another's."""
    monkeypatch.setattr(prover, "CONTEXT_PROBLEMS", 25)
    monkeypatch.setattr(prover, "MOST_WAITING", 1000)
    solver = Prover(limit_ms=300)
    bounds = {"x": {"type": "integer", "minimum": -1000, "maximum": 1000}}
    asked: list[tuple[dict, int | str | None]] = []
    for number in range(300):
        asked.append(({"variables": bounds, "constraints": [["=", "x", number]]}, number))
        asked.append(({"variables": bounds, "constraints": [["<", "x", ["-", "x", number]]]}, None))
    asked[100:100] = [(HARD, "unknown")] * 4
    found = solved(solver, *(constraints_problem(document) for document, _ in asked))
    names = {each.name for each in threading.enumerate() if each.name.startswith("prover")}

    for (_, expected), solution in zip(asked, found, strict=True):
        if expected == "unknown":
            assert (solution.satisfiable, solution.values) == (None, None)
        elif expected is None:
            assert (solution.satisfiable, solution.values) == (False, None)
        else:
            assert (solution.satisfiable, solution.values) == (True, {"x": expected})
    assert names == {f"prover_{at}" for at in range(THREADS)}


def test_too_many_problems_at_once_are_refused(monkeypatch):
    """Above MOST_WAITING a problem is refused at once; those that wait are solved, and then there is room."""
    monkeypatch.setattr(prover, "MOST_WAITING", 3)
    solver = Prover()
    problem = constraints_problem(CONSTRAINTS)
    found = solved(solver, *[problem] * 10)

    assert [isinstance(each, BusyError) for each in found] == [False] * 3 + [True] * 7
    assert all(each.values == {"amount": 3, "approved": True} for each in found[:3])
    assert solved(solver, problem)[0].satisfiable is True


def test_a_busy_prover_is_503(tmp_path):
    """The refusal says so, and when to come again."""
    before = "from target import prover\nprover.MOST_WAITING = 0"
    with serving(folder=tmp_path, before=before) as served, served.client() as client:
        answer = client.post("/proofs", json=OBLIGATION)

    refused(answer, 503, "prover_busy")
    assert answer.headers["Retry-After"] == "1"


def test_a_wrong_model_is_never_an_answer(monkeypatch):
    """Should Z3 name values that are no solution, that is a defect; afterwards the prover is right again."""
    original = prover._call
    monkeypatch.setattr(
        prover, "_call", lambda context, commands: original(context, commands).replace("3", "4")
    )
    solver = Prover()
    problem = constraints_problem(CONSTRAINTS)
    (wrong,) = solved(solver, problem)
    monkeypatch.undo()
    (right,) = solved(solver, problem)

    assert isinstance(wrong, AssertionError)
    assert right.values == {"amount": 3, "approved": True}


def test_an_error_of_z3_leaves_nothing_behind(monkeypatch):
    """A script that Z3 refuses raises, and the next problem meets a fresh context."""
    solver = Prover()
    problem = constraints_problem(CONSTRAINTS)
    broken = type(problem)(problem.variables, problem.formulas, "(push)(assert nonsense)")
    found = solved(solver, *[broken, problem] * 5)

    assert ["unknown constant nonsense" in str(each) for each in found[::2]] == [True] * 5
    assert all(each.values == {"amount": 3, "approved": True} for each in found[1::2])


@pytest.mark.parametrize(
    ("fault", "document", "lie"),
    [("false_proof", UNPROVABLE, "proved"), ("false_refutation", OBLIGATION, "refuted")],
)
def test_a_planted_fault_answers_wrongly_as_often_as_asked(client, fault, document, lie):
    """The next two obligations of the kind are lied about, those of the other kind and constraints never."""
    client.put("/switches", json={fault: 2})
    other = OBLIGATION if document is UNPROVABLE else UNPROVABLE
    honest = "proved" if other is OBLIGATION else "refuted"

    assert client.post("/proofs", json=other).json()["result"] == honest
    assert client.post("/proofs/constraints", json=CONSTRAINTS).json()["result"] == "satisfiable"
    answers = [client.post("/proofs", json=document).json() for _ in range(3)]
    assert [answer["result"] == lie for answer in answers] == [True, True, False]
    if lie == "refuted":
        assert not obligation_problem(document).satisfied_by(answers[0]["model"])
    else:
        assert answers[0]["model"] is None
    assert client.get("/switches").json()[fault] == 0
