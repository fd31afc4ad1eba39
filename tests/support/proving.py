"""Problems of the obligation language for tests: drawn ones small enough to try every assignment, and hard ones."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import msgspec
from hypothesis import strategies as st

from locustfiles.governance.formulas import evaluate
from target.obligation import ConstraintSet, Obligation, counterexample, witness

if TYPE_CHECKING:
    from target.obligation import Problem

VARIABLES = {
    "x": {"type": "integer", "minimum": -2, "maximum": 2},
    "y": {"type": "integer", "minimum": 0, "maximum": 3},
    "z": {"type": "integer", "minimum": 1, "maximum": 1},
    "p": {"type": "boolean"},
    "q": {"type": "boolean"},
}
INTEGERS = st.recursive(
    st.one_of(st.sampled_from(["x", "y", "z"]), st.integers(-4, 4), st.sampled_from([2**53 - 1, 1 - 2**53])),
    lambda inner: st.one_of(
        st.lists(inner, min_size=2, max_size=3).map(lambda terms: ["+", *terms]),
        st.tuples(st.just("-"), inner, inner).map(list),
        st.tuples(st.just("*"), st.integers(-3, 3), inner).map(list),
    ),
    max_leaves=4,
)
COMPARISONS = st.tuples(st.sampled_from(["=", "!=", "<", "<=", ">", ">="]), INTEGERS, INTEGERS).map(list)
FORMULAS = st.recursive(
    st.one_of(st.sampled_from(["p", "q"]), st.booleans(), COMPARISONS, COMPARISONS),
    lambda inner: st.one_of(
        st.tuples(st.sampled_from(["and", "or"]), st.lists(inner, min_size=1, max_size=3)).map(
            lambda pair: [pair[0], *pair[1]]
        ),
        st.tuples(st.sampled_from(["implies", "=", "!="]), inner, inner).map(list),
        inner.map(lambda formula: ["not", formula]),
    ),
    max_leaves=6,
)


def obligation_problem(document) -> Problem:
    """As the target reads a body of `POST /proofs`."""
    return counterexample(msgspec.convert(document, Obligation))


def constraints_problem(document) -> Problem:
    """As the target reads a body of `POST /proofs/constraints`."""
    return witness(msgspec.convert(document, ConstraintSet))


def solutions(variables, formulas):
    """Every assignment within the bounds that makes all formulas true, by trying all of them."""
    domains = [
        (False, True) if each["type"] == "boolean" else range(each["minimum"], each["maximum"] + 1)
        for each in variables.values()
    ]
    for values in itertools.product(*domains):
        assignment = dict(zip(variables, values, strict=True))
        if all(evaluate(formula, assignment) for formula in formulas):
            yield assignment


def pigeons(count: int, holes: int) -> dict:
    """So many different integers within 1 to `holes`; with one too many it takes Z3 ages from 10 on."""
    names = [f"pigeon_{at}" for at in range(count)]
    return {
        "variables": {name: {"type": "integer", "minimum": 1, "maximum": holes} for name in names},
        "constraints": [["and", *(["!=", *pair] for pair in itertools.combinations(names, 2))]],
    }
