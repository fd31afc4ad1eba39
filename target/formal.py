"""Formal verification: proves or refutes submitted obligations, and decides whether constraints can be met."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, TypeVar

import msgspec
from msgspec import Struct

from target.answers import RefusedError, answer, read_json
from target.constitution import require_hash
from target.endpoint import Endpoint
from target.obligation import ConstraintSet, FormulaError, Obligation, counterexample, witness
from target.prover import LIMIT_MS, MOST_WAITING, BusyError

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request
    from starlette.responses import Response

    from target.obligation import Problem, Values
    from target.prover import Solution

T = TypeVar("T")


class ProofAnswer(Struct, frozen=True):
    result: Literal["proved", "refuted"]
    model: dict[str, bool | int] | None
    """Of a refuted obligation: values with which the assumptions are true and the goal is not."""
    solver_us: int
    constitutional_hash: str


class ConstraintsAnswer(Struct, frozen=True):
    result: Literal["satisfiable", "unsatisfiable"]
    witness: dict[str, bool | int] | None
    """Values that make all constraints true, where there are some."""
    solver_us: int
    constitutional_hash: str


_obligation_form: Final = msgspec.json.Decoder(Obligation)
_constraints_form: Final = msgspec.json.Decoder(ConstraintSet)


async def prove(request: Request) -> Response:
    """An obligation is proved when its counterexample problem has no solution, refuted by one that it has."""
    served = require_hash(request)
    problem = _read(counterexample, await read_json(request, _obligation_form))
    solution = await _solved(request, problem, "refuted", "proved")
    switches = request.app.state.switches
    refuted, model = bool(solution.satisfiable), solution.values
    if refuted and switches.take("false_proof"):
        refuted, model = False, None
    elif not refuted and switches.take("false_refutation"):
        refuted, model = True, _lie(problem)
    return answer(ProofAnswer("refuted" if refuted else "proved", model, solution.solver_us, served))


async def constraints(request: Request) -> Response:
    """Whether some assignment makes all constraints true, and one that does."""
    served = require_hash(request)
    problem = _read(witness, await read_json(request, _constraints_form))
    solution = await _solved(request, problem, "satisfiable", "unsatisfiable")
    return answer(
        ConstraintsAnswer(
            "satisfiable" if solution.satisfiable else "unsatisfiable",
            solution.values,
            solution.solver_us,
            served,
        )
    )


def _read(problem_of: Callable[[T], Problem], document: T) -> Problem:
    try:
        return problem_of(document)
    except FormulaError as error:
        raise RefusedError(422, "invalid_formula", str(error)) from None


async def _solved(request: Request, problem: Problem, satisfiable: str, unsatisfiable: str) -> Solution:
    """A solution that is known; 503 when there are too many problems at once, or this one takes too long."""
    try:
        solution: Solution = await request.app.state.prover.solve(problem)
    except BusyError:
        raise RefusedError(
            503, "prover_busy", f"{MOST_WAITING} problems wait already", {"Retry-After": "1"}
        ) from None
    if solution.satisfiable is None:
        request.app.state.metrics.proof("unknown", solution.solver_us)
        raise RefusedError(503, "unknown", f"Z3 came to no result within {LIMIT_MS} ms")
    result = satisfiable if solution.satisfiable else unsatisfiable
    request.app.state.metrics.proof(result, solution.solver_us)
    return solution


def _lie(problem: Problem) -> Values:
    """The planted fault's counterexample, which is none as there is none: every variable's least value."""
    return {name: getattr(variable, "minimum", False) for name, variable in problem.variables.items()}


ROUTES: Final = (
    Endpoint("POST", "/proofs", prove, body=Obligation, answers={200: ProofAnswer}),
    Endpoint(
        "POST", "/proofs/constraints", constraints, body=ConstraintSet, answers={200: ConstraintsAnswer}
    ),
)
