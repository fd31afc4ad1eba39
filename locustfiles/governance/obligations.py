"""Random proof obligations and constraints, half of which hold: which half is known by how they are made.

All chance is `random`'s. Each family makes one number or one literal the difference between a document that
holds and one that does not, so that a prover that guesses, or looks at anything but the formulas, is wrong
half of the time.
"""

from __future__ import annotations

import itertools
import random
from typing import TYPE_CHECKING, Any, Final

from locustfiles.governance.formulas import Drawn, evaluate

if TYPE_CHECKING:
    from collections.abc import Callable

Expression = Any
Variables = dict[str, dict[str, Any]]

BOOLEAN: Final = {"type": "boolean"}
FACTS: Final = ("audited", "consented", "encrypted", "notified", "reviewed", "sealed")


def random_obligation() -> Drawn:
    """For `POST /proofs`."""
    return random.choice(_OBLIGATIONS)(random.random() < 0.5)


def random_small_obligation() -> Drawn:
    """For `POST /proofs`; one that Z3 needs little time for."""
    return conflict_of_policies(random.random() < 0.5)


def random_constraints() -> Drawn:
    """For `POST /proofs/constraints`."""
    return random.choice(_CONSTRAINTS)(random.random() < 0.5)


def chain_of_deadlines(holds: bool) -> Drawn:
    """Each stage takes its days; so the last one ends no earlier than their sum, and perhaps no later than it."""
    days = [random.randint(1, 90) for _ in range(random.randint(3, 6))]
    stages, follow = _stages(days)
    goal = ["<=", ["+", stages[0], sum(days) + (0 if holds else 1)], stages[-1]]
    return _obligation(_integers(stages, 0, 10_000), follow, goal, holds)


def bound_of_a_sum(holds: bool) -> Drawn:
    """A weighted sum stays within the largest value that the bounds allow, and goes beyond any smaller one."""
    variables: Variables = {}
    terms: list[Expression] = []
    largest = 0
    for at in range(random.randint(2, 4)):
        low = random.choice((0, random.randint(-1000, 0), -(2**31)))
        high = random.choice((random.randint(1, 1000), 2**31 - 1))
        factor = random.choice((-3, -2, -1, 1, 2, 5))
        variables |= _integers([f"amount_{at}"], low, high)
        terms.append(["*", factor, f"amount_{at}"])
        largest += factor * (high if factor > 0 else low)
    goal = ["<=", ["+", *terms], largest - (0 if holds else 1)]
    return _obligation(variables, [], goal, holds)


def pigeons_in_holes(holds: bool) -> Drawn:
    """Of more cases than reviewers two have the same reviewer; as many may have one each."""
    reviewers = random.randint(2, 3)
    cases = [f"reviewer_of_{at}" for at in range(reviewers + 1 if holds else reviewers)]
    goal = ["or", *(["=", one, other] for one, other in itertools.combinations(cases, 2))]
    return _obligation(_integers(cases, 1, reviewers), [], goal, holds)


def sum_of_inequalities(holds: bool) -> Drawn:
    """Inequalities times positive factors add up (Farkas' lemma); below what one point reaches, that point refutes."""
    names = ["grants", "loans", "rents"]
    point = {name: random.randint(0, 50) for name in names}
    assumptions: list[Expression] = []
    totals = dict.fromkeys(names, 0)
    bound = 0
    for _ in range(3):
        factors = {name: random.randint(-4, 4) for name in names}
        times = random.randint(1, 3)
        reached = sum(factors[name] * point[name] for name in names)
        slack = random.randint(0, 5)
        assumptions.append(["<=", _weighted(factors), reached + slack])
        totals = {name: totals[name] + times * factors[name] for name in names}
        bound += times * (reached + slack if holds else reached)
    goal = ["<=", _weighted(totals), bound - (0 if holds else 1)]
    return _obligation(_integers(names, 0, 50), assumptions, goal, holds)


def conflict_of_policies(holds: bool) -> Drawn:
    """No action is both allowed and denied: true only if some condition of one policy excludes one of the other."""
    facts = {fact: random.random() < 0.5 for fact in FACTS}
    clearance = random.randint(1, 8)
    allow = random.sample(FACTS, 3)
    deny = random.sample(FACTS, 3)
    allowing: list[Expression] = [_literal(fact, facts[fact]) for fact in allow]
    denying: list[Expression] = [_literal(fact, facts[fact]) for fact in deny]
    allowing.append([">=", "clearance", clearance])
    if holds and random.random() < 0.5:
        denying.append(["<", "clearance", clearance])
    elif holds:
        # Where it stands among the others must not give it away.
        denying.insert(random.randint(0, 3), _literal(allow[0], not facts[allow[0]]))
    else:
        denying.append(["<=", "clearance", clearance])
    return _obligation(
        {
            **dict.fromkeys((*FACTS, "allowed", "denied"), BOOLEAN),
            **_integers(["clearance"], 0, 9),
        },
        [["=", "allowed", ["and", *allowing]], ["=", "denied", ["and", *denying]]],
        ["not", ["and", "allowed", "denied"]],
        holds,
    )


def budget(holds: bool) -> Drawn:
    """Shares with minimums fit into a budget that is at least the minimums' sum."""
    minimums = {f"share_{at}": random.randint(1, 500) for at in range(random.randint(3, 5))}
    constraints: list[Expression] = [[">=", name, minimum] for name, minimum in minimums.items()]
    total = sum(minimums.values())
    constraints.append(["<=", ["+", *minimums], total + random.randint(0, 9) if holds else total - 1])
    return _constraints(_integers(list(minimums), 0, 1000), constraints, holds)


def ring_of_deadlines(holds: bool) -> Drawn:
    """Stages that take their days fit into a span that is at least the days' sum."""
    days = [random.randint(1, 90) for _ in range(random.randint(3, 6))]
    stages, follow = _stages(days)
    span = sum(days) + random.randint(0, 9) if holds else sum(days) - 1
    constraints = [*follow, ["<=", stages[-1], ["+", stages[0], span]]]
    return _constraints(_integers(stages, 0, 10_000), constraints, holds)


def chain_of_duties(holds: bool) -> Drawn:
    """Who has the first role must have all that follow from it; a gap in the chain leaves the last one free."""
    roles = [f"role_{at}" for at in range(random.randint(4, 8))]
    links: list[Expression] = [["implies", one, other] for one, other in itertools.pairwise(roles)]
    if holds:
        del links[random.randrange(len(links))]
    random.shuffle(links)
    variables: Variables = dict.fromkeys(roles, BOOLEAN)
    return _constraints(variables, [roles[0], *links, ["not", roles[-1]]], holds)


def facts_about_a_point(holds: bool) -> Drawn:
    """Comparisons that are true of one point have it as a witness, unless the opposite of one is demanded too."""
    point = {"x": random.randint(-50, 50), "y": random.randint(-50, 50), "z": random.randint(-50, 50)}
    constraints: list[Expression] = []
    for _ in range(4):
        one, other = random.sample(list(point), 2)
        term = ["-", ["*", random.randint(2, 5), one], other]
        value = evaluate(term, point) + random.randint(-9, 9)
        either = [[operator, term, value] for operator in ("<", "<=", ">", ">=", "!=", "=")]
        true = random.choice([each for each in either if evaluate(each, point)])
        constraints.append(true)
    if not holds:
        constraints.append(["not", random.choice(constraints)])
        random.shuffle(constraints)
    return _constraints(_integers(list(point), -50, 50), constraints, holds)


_OBLIGATIONS: Final[tuple[Callable[[bool], Drawn], ...]] = (
    chain_of_deadlines,
    bound_of_a_sum,
    pigeons_in_holes,
    sum_of_inequalities,
    conflict_of_policies,
)
_CONSTRAINTS: Final[tuple[Callable[[bool], Drawn], ...]] = (
    budget,
    ring_of_deadlines,
    chain_of_duties,
    facts_about_a_point,
)


def _obligation(variables: Variables, assumptions: list[Expression], goal: Expression, holds: bool) -> Drawn:
    return Drawn({"variables": variables, "assumptions": assumptions, "goal": goal}, holds)


def _constraints(variables: Variables, constraints: list[Expression], holds: bool) -> Drawn:
    return Drawn({"variables": variables, "constraints": constraints}, holds)


def _integers(names: list[str], minimum: int, maximum: int) -> Variables:
    return {name: {"type": "integer", "minimum": minimum, "maximum": maximum} for name in names}


def _stages(days: list[int]) -> tuple[list[str], list[Expression]]:
    """Names of stages, and that each takes its days before the next begins."""
    names = [f"stage_{at}" for at in range(len(days) + 1)]
    follow = [
        ["<=", ["+", one, taken], other]
        for (one, other), taken in zip(itertools.pairwise(names), days, strict=True)
    ]
    return names, follow


def _weighted(factors: dict[str, int]) -> Expression:
    return ["+", *(["*", factor, name] for name, factor in factors.items())]


def _literal(fact: str, wanted: bool) -> Expression:
    return fact if wanted else ["not", fact]
