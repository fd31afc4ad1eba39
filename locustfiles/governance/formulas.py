"""What the target must answer to a proof obligation or constraints, from the rules in docs/target.md.

Who drew a problem knows by its construction whether it has a solution, so the answer needs no second solver:
a result is compared, and an assignment that comes with it is evaluated.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

Document = dict[str, Any]


@dataclass(frozen=True)
class Drawn:
    """A document to send."""

    document: Document
    holds: bool
    """The obligation is provable, or the constraints can be satisfied."""


def proof_fault(drawn: Drawn, answer: Document) -> str | None:
    """What is wrong with an answer of `POST /proofs`; None if it is right."""
    expected = "proved" if drawn.holds else "refuted"
    if answer["result"] != expected:
        return f"by its construction it is {expected}"
    if drawn.holds:
        return None if answer["model"] is None else "what is proved has no counterexample"
    formulas = [*drawn.document["assumptions"], ["not", drawn.document["goal"]]]
    return _assignment_fault(drawn.document["variables"], formulas, answer["model"])


def constraints_fault(drawn: Drawn, answer: Document) -> str | None:
    """What is wrong with an answer of `POST /proofs/constraints`; None if it is right."""
    expected = "satisfiable" if drawn.holds else "unsatisfiable"
    if answer["result"] != expected:
        return f"by their construction they are {expected}"
    if not drawn.holds:
        return None if answer["witness"] is None else "what cannot be satisfied has no witness"
    return _assignment_fault(drawn.document["variables"], drawn.document["constraints"], answer["witness"])


def _assignment_fault(variables: Document, formulas: list[Any], values: Document | None) -> str | None:
    if values is None or values.keys() != variables.keys():
        return "its assignment is not of all variables and no others"
    for name, variable in variables.items():
        value = values[name]
        if variable["type"] == "boolean":
            fits = isinstance(value, bool)
        else:
            fits = type(value) is int and variable["minimum"] <= value <= variable["maximum"]
        if not fits:
            return f"{name} cannot be {value!r}"
    for formula in formulas:
        if not evaluate(formula, values):
            return f"{formula} is false with its assignment"
    return None


def evaluate(expression: Any, values: Document) -> Any:
    """The value of an expression whose types are right."""
    match expression:
        case bool() | int():
            return expression
        case str():
            return values[expression]
        case ["and", *each]:
            return all(evaluate(one, values) for one in each)
        case ["or", *each]:
            return any(evaluate(one, values) for one in each)
        case ["implies", one, other]:
            return evaluate(other, values) if evaluate(one, values) else True
        case ["not", one]:
            return not evaluate(one, values)
    head, *operands = expression
    found = [evaluate(operand, values) for operand in operands]
    match head:
        case "=":
            return found[0] == found[1]
        case "!=":
            return found[0] != found[1]
        case "<":
            return found[0] < found[1]
        case "<=":
            return found[0] <= found[1]
        case ">":
            return found[0] > found[1]
        case ">=":
            return found[0] >= found[1]
        case "+":
            return sum(found)
        case "-":
            return found[0] - found[1]
        case "*":
            return math.prod(found)
    raise ValueError(f"{head!r} is no operator")
