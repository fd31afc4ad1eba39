"""The formal scenario: drawn problems are what they are said to be, and no wrong answer passes."""

from __future__ import annotations

import asyncio
import copy
import random
from collections import Counter

import pytest
from playing import played, played_against
from proving import constraints_problem, obligation_problem
from serving import serving

from locustfiles.governance import obligations
from locustfiles.governance.formulas import Drawn, constraints_fault, evaluate, proof_fault
from locustfiles.governance.obligations import (
    random_constraints,
    random_obligation,
    random_small_obligation,
)
from target.prover import Prover

USER = "formal.FormalVerificationUser"
ROUNDS = 20
NAMES = {"POST /proofs", "POST /proofs/constraints"}
FAMILIES = [*obligations._OBLIGATIONS, *obligations._CONSTRAINTS]


@pytest.fixture(scope="module")
def target(tmp_path_factory):
    with serving(folder=tmp_path_factory.mktemp("formal")) as served:
        yield served


@pytest.fixture(scope="module")
def solver():
    return Prover()


def answered(solver, drawn: Drawn) -> dict:
    """What the target answers to it."""
    if "goal" in drawn.document:
        solution = asyncio.run(solver.solve(obligation_problem(drawn.document)))
        result = {True: "refuted", False: "proved"}[solution.satisfiable]
        return {"result": result, "model": solution.values}
    solution = asyncio.run(solver.solve(constraints_problem(drawn.document)))
    result = {True: "satisfiable", False: "unsatisfiable"}[solution.satisfiable]
    return {"result": result, "witness": solution.values}


def fault(drawn: Drawn, answer: dict) -> str | None:
    return (proof_fault if "goal" in drawn.document else constraints_fault)(drawn, answer)


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.__name__)
@pytest.mark.parametrize("holds", [True, False])
def test_a_drawn_problem_is_what_it_is_said_to_be(solver, family, holds):
    """Z3 comes to the result that each problem has by its construction, and its assignments pass the client's check."""
    random.seed(11)
    for _ in range(60):
        drawn = family(holds)
        assert drawn.holds is holds
        assert fault(drawn, answered(solver, drawn)) is None


@pytest.mark.long
@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.__name__)
def test_a_drawn_problem_is_always_what_it_is_said_to_be(solver, family):
    """The same, many times over."""
    random.seed(12)
    for number in range(3_000):
        drawn = family(number % 2 == 0)
        assert fault(drawn, answered(solver, drawn)) is None


@pytest.mark.parametrize("draw", [random_obligation, random_small_obligation, random_constraints])
def test_half_of_the_problems_hold(draw):
    """Who always gives the same result is wrong half of the time; the seed decides everything."""
    random.seed(3)
    drawn = [draw() for _ in range(1_000)]
    random.seed(3)

    assert 400 < sum(each.holds for each in drawn) < 600
    assert drawn == [draw() for _ in range(1_000)]


def test_all_families_are_drawn():
    """Obligations and constraints come of every family, which their variables' names tell apart."""
    random.seed(4)
    first = Counter(next(iter(random_obligation().document["variables"])) for _ in range(500))
    second = Counter(next(iter(random_constraints().document["variables"])) for _ in range(500))

    assert set(first) == {"stage_0", "amount_0", "reviewer_of_0", "grants", "audited"}
    assert set(second) == {"share_0", "stage_0", "role_0", "x"}
    assert min(*first.values(), *second.values()) > 50


def wrong_answers(drawn: Drawn, right: dict):
    """The right answer made wrong in every way that there is."""
    (key,) = set(right) - {"result"}
    other = {
        "proved": "refuted",
        "refuted": "proved",
        "satisfiable": "unsatisfiable",
        "unsatisfiable": "satisfiable",
    }
    yield {**right, "result": other[right["result"]]}
    yield {**right, "result": "unknown"}
    values = right[key]
    if values is None:
        yield {**right, key: {}}
        return
    yield {**right, key: None}
    yield {**right, key: {}}
    yield {**right, key: {**values, "stranger": 1}}
    for name, variable in drawn.document["variables"].items():
        yield {**right, key: {each: value for each, value in values.items() if each != name}}
        if variable["type"] == "boolean":
            yield {**right, key: {**values, name: int(values[name])}}
        else:
            yield {**right, key: {**values, name: variable["maximum"] + 1}}
            yield {**right, key: {**values, name: variable["minimum"] - 1}}
            yield {**right, key: {**values, name: str(values[name])}}
            yield {**right, key: {**values, name: True}}


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.__name__)
def test_every_wrong_answer_is_a_fault(solver, family):
    """Another result, no assignment, one too few or too many values, one out of bounds or of the other type."""
    random.seed(5)
    for number in range(10):
        drawn = family(number % 2 == 0)
        for wrong in wrong_answers(drawn, answered(solver, drawn)):
            assert fault(drawn, wrong) is not None, (drawn, wrong)


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.__name__)
def test_an_assignment_that_is_no_solution_is_a_fault(solver, family):
    """Random values within the bounds pass exactly if they make every formula true."""
    random.seed(6)
    seen = Counter[bool]()
    for _ in range(40):
        drawn = family("constraints" in family(True).document)
        right = answered(solver, drawn)
        (key,) = set(right) - {"result"}
        values = copy.copy(right[key])
        for name, variable in drawn.document["variables"].items():
            if random.random() < 0.3:
                values[name] = (
                    random.random() < 0.5
                    if variable["type"] == "boolean"
                    else random.randint(variable["minimum"], variable["maximum"])
                )
        document = drawn.document
        true = (
            all(evaluate(each, values) for each in document["assumptions"])
            and not evaluate(document["goal"], values)
            if "goal" in document
            else all(evaluate(each, values) for each in document["constraints"])
        )
        seen[true] += 1
        assert (fault(drawn, {**right, key: values}) is None) is true

    assert seen[False] > 0


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        (True, True),
        (-7, -7),
        ("x", 3),
        ("p", False),
        (["and", "p"], False),
        (["and", True, ["or", "p", ["not", "p"]]], True),
        (["or", "p", "p"], False),
        (["implies", "p", False], True),
        (["implies", True, "p"], False),
        (["=", "x", 3], True),
        (["=", "p", False], True),
        (["!=", "x", 3], False),
        (["<", "x", 3], False),
        (["<=", "x", 3], True),
        ([">", "x", 2], True),
        ([">=", "x", 4], False),
        (["+", "x", 1, ["-", 1, "x"]], 2),
        (["*", -2, "x"], -6),
    ],
)
def test_an_expression_is_worth_what_it_says(expression, value):
    """Each operator of the table in docs/target.md."""
    found = evaluate(expression, {"x": 3, "p": False})

    assert (type(found), found) == (type(value), value)


def test_an_unknown_operator_is_no_expression():
    """A scenario that draws what the language has not is a mistake that shows."""
    with pytest.raises(ValueError, match="'xor' is no operator"):
        evaluate(["xor", True, True], {})


def test_every_request_and_check_succeeds_on_the_real_target(target):
    """Both endpoints are requested by their templates, and every answer is right."""
    seen = played(USER, target.url, 100)

    assert seen == {name: {"ok": 100, "failed": 0} for name in NAMES}


@pytest.mark.parametrize("planted", ["false_proof", "false_refutation"])
def test_a_planted_fault_is_found_once(target, planted):
    """Of one wrong answer among many right ones, the check `proof` fails once, and no request does."""
    with target.client() as client:
        assert client.put("/switches", json={planted: 1}).status_code == 200
    seen = played(USER, target.url, ROUNDS)

    assert seen["CHECK proof"]["failed"] == 1
    assert {name for name in seen if seen[name]["failed"]} == {"CHECK proof"}
    expected = {"false_proof": "refuted", "false_refutation": "proved"}[planted]
    assert f"by its construction it is {expected}" in seen["CHECK proof"]["text"]


def lie_in_model(status, header, body):
    """Values of the right names and types that are no counterexample, as a lazy prover would name them."""
    for name, value in (body.get("model") or {}).items():
        body["model"][name] = False if isinstance(value, bool) else 0
    return status, header, body


def lie_in_witness(status, header, body):
    if body.get("witness") is not None:
        body["witness"] = {}
    return status, header, body


def lie_about_constraints(status, header, body):
    if "witness" in body:
        body.update(result="unsatisfiable", witness=None)
    return status, header, body


def lie_in_header(status, _, body):
    return status, "0000", body


@pytest.mark.parametrize(
    ("lie", "check"),
    [
        (lie_in_model, "proof"),
        (lie_in_witness, "proof"),
        (lie_about_constraints, "proof"),
        (lie_in_header, "hash_consistency"),
    ],
)
def test_a_lie_is_found_by_its_check(target, lie, check):
    """A target that answers 200 with something wrong in it fails the check that is there for it, and no other."""
    seen = played_against(target, lie, USER, ROUNDS)

    assert {name for name in seen if seen[name]["failed"]} == {f"CHECK {check}"}


def test_a_problem_that_is_not_decided_is_a_failed_request(target):
    """503 is a failure of the request; it is no wrong proof, so no check fails."""

    def undecided(status, header, body):
        error = {"code": "unknown", "message": "Z3 came to no result within 500 ms"}
        return 503, header, {"error": error, "constitutional_hash": body["constitutional_hash"]}

    seen = played_against(target, undecided, USER, 3)

    assert {name: entry["failed"] for name, entry in seen.items()} == dict.fromkeys(NAMES, 3)
