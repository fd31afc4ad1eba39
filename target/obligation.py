"""Proof obligations: a small typed language in JSON, read into SMT-LIB, and evaluated. Pure: no solver, no HTTP.

A document declares variables, `{"type": "integer", "minimum", "maximum"}` or `{"type": "boolean"}`, and states
formulas about them. A formula is a boolean expression; an expression is a literal, a variable's name, or a list
of an operator and its operands:

    and, or              booleans, at least 1
    not                  1 boolean
    implies              2 booleans
    =, !=                2 of one type
    <, <=, >, >=         2 integers
    +                    integers, at least 2
    -                    2 integers
    *                    an integer literal and an integer: what is written is linear

Integers are mathematical ones, they do not overflow. As every variable has bounds there are finitely many
assignments, and whether an obligation holds is decidable.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Final

from msgspec import Meta, Struct

from target.policy import LARGEST, Integer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

MOST_VARIABLES: Final = 32
MOST_FORMULAS: Final = 64
MOST_NODES: Final = 512
"""Literals, names and operators of a document together."""
MOST_LEVELS: Final = 16
"""Lists within lists in a formula."""

BOOLEAN: Final = "a boolean"
INTEGER: Final = "an integer"

Name = Annotated[str, Meta(pattern=r"\A[a-z][a-z0-9_]{0,31}\Z")]
Values = dict[str, bool | int]


class FormulaError(ValueError):
    """A document that is no problem of this language; says where and why."""


class IntegerVariable(Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="integer"):
    minimum: Integer
    maximum: Integer

    def __post_init__(self) -> None:
        if self.minimum > self.maximum:
            raise ValueError(f"no integer is at least {self.minimum} and at most {self.maximum}")


class BooleanVariable(Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="boolean"):
    pass


Variables = Annotated[dict[Name, IntegerVariable | BooleanVariable], Meta(max_length=MOST_VARIABLES)]
Formula = Annotated[
    Any,
    Meta(
        extra_json_schema={
            "description": "true, false, a variable's name, or an operator and its operands.",
            "anyOf": [
                {"type": "boolean"},
                {"type": "string"},
                {"type": "array", "prefixItems": [{"type": "string"}], "minItems": 2},
            ],
        }
    ),
]
Formulas = Annotated[list[Formula], Meta(max_length=MOST_FORMULAS)]


class Obligation(Struct, frozen=True, forbid_unknown_fields=True):
    """It holds if the goal is true wherever all assumptions are; so it does where they contradict each other."""

    variables: Variables
    assumptions: Formulas
    goal: Formula


class ConstraintSet(Struct, frozen=True, forbid_unknown_fields=True):
    """It is satisfiable if some assignment makes all constraints true."""

    variables: Variables
    constraints: Formulas


@dataclass(frozen=True)
class Problem:
    """Is there an assignment within the bounds that makes every formula true?"""

    variables: Variables
    formulas: Sequence[Any]
    script: str
    """The same in SMT-LIB: declarations and assertions. The n-th variable is called `vn`, so that a solver
    that lives long learns no new names."""

    def satisfied_by(self, values: Values) -> bool:
        return all(_fits(variable, values[name]) for name, variable in self.variables.items()) and all(
            _value(formula, values) for formula in self.formulas
        )


def counterexample(obligation: Obligation) -> Problem:
    """The problem whose solutions show that the obligation does not hold. Raises FormulaError."""
    reader = _Reader(obligation.variables)
    for at, assumption in enumerate(obligation.assumptions):
        reader.formula(assumption, f"assumptions[{at}]")
    reader.formula(obligation.goal, "goal", negated=True)
    return reader.problem()


def witness(constraints: ConstraintSet) -> Problem:
    """The problem whose solutions fulfil the constraints. Raises FormulaError."""
    reader = _Reader(constraints.variables)
    for at, constraint in enumerate(constraints.constraints):
        reader.formula(constraint, f"constraints[{at}]")
    return reader.problem()


class _Reader:
    """Checks formulas and writes them in SMT-LIB."""

    def __init__(self, variables: Variables) -> None:
        self._variables = variables
        self._symbols: dict[str, tuple[str, str]] = {}
        self._formulas: list[Any] = []
        self._lines: list[str] = []
        self._nodes = 0
        for at, (name, variable) in enumerate(variables.items()):
            symbol = f"v{at}"
            if isinstance(variable, IntegerVariable):
                self._symbols[name] = symbol, INTEGER
                bounds = f"(<= {_literal(variable.minimum)} {symbol} {_literal(variable.maximum)})"
                self._lines.append(f"(declare-const {symbol} Int)(assert {bounds})")
            else:
                self._symbols[name] = symbol, BOOLEAN
                self._lines.append(f"(declare-const {symbol} Bool)")

    def formula(self, expression: Any, where: str, *, negated: bool = False) -> None:
        text = self._of_kind(BOOLEAN, expression, where, MOST_LEVELS)
        self._formulas.append(["not", expression] if negated else expression)
        self._lines.append(f"(assert (not {text}))" if negated else f"(assert {text})")

    def problem(self) -> Problem:
        return Problem(self._variables, self._formulas, "".join(self._lines))

    def _of_kind(self, wanted: str, expression: Any, where: str, levels: int) -> str:
        text, kind = self._read(expression, where, levels)
        if kind != wanted:
            raise FormulaError(f"{where} is {kind}, {wanted} is needed")
        return text

    def _read(self, expression: Any, where: str, levels: int) -> tuple[str, str]:
        """Its text and its kind; `levels` is how many lists may still be opened."""
        self._nodes += 1
        if self._nodes > MOST_NODES:
            raise FormulaError(f"{where}: a document has at most {MOST_NODES} literals, names and operators")
        match expression:
            case bool():
                return str(expression).lower(), BOOLEAN
            case int() if abs(expression) <= LARGEST:
                return _literal(expression), INTEGER
            case str() if expression in self._symbols:
                return self._symbols[expression]
            case str():
                raise FormulaError(f"{where}: there is no variable {expression[:40]!r}")
            case [str(head), *operands] if head in _OPERATORS:
                if not levels:
                    raise FormulaError(f"{where}: a formula has at most {MOST_LEVELS} levels")
                return self._operation(head, operands, where, levels - 1)
            case [str(head), *_]:
                raise FormulaError(f"{where}: {head[:40]!r} is no operator; they are {' '.join(_OPERATORS)}")
            case _:
                raise FormulaError(
                    f"{where} is no expression: write true, false, an integer of at most 53 bits, "
                    "a variable's name, or [operator, operand, ...]"
                )

    def _operation(self, head: str, operands: list[Any], where: str, levels: int) -> tuple[str, str]:
        known = _OPERATORS[head]
        if not known.fewest <= len(operands) <= (known.most or len(operands)):
            count = str(known.fewest) if known.most else f"at least {known.fewest}"
            raise FormulaError(f"{where}: `{head}` takes {count} operands, not {len(operands)}")
        if head == "*" and type(operands[0]) is not int:
            raise FormulaError(
                f"{where}[1]: the first factor is an integer literal: what is written is linear"
            )
        wanted = known.operands
        texts: list[str] = []
        for at, operand in enumerate(operands, 1):
            if wanted is None:
                text, wanted = self._read(operand, f"{where}[{at}]", levels)
            else:
                text = self._of_kind(wanted, operand, f"{where}[{at}]", levels)
            texts.append(text)
        return f"({known.smt} {' '.join(texts)})", known.result


@dataclass(frozen=True)
class _Operator:
    smt: str
    fewest: int
    most: int | None
    operands: str | None
    """Their kind; None is that of the first, whichever it is."""
    result: str
    meaning: Callable[..., bool | int]


_OPERATORS: Final[Mapping[str, _Operator]] = {
    "and": _Operator("and", 1, None, BOOLEAN, BOOLEAN, lambda *operands: all(operands)),
    "or": _Operator("or", 1, None, BOOLEAN, BOOLEAN, lambda *operands: any(operands)),
    "not": _Operator("not", 1, 1, BOOLEAN, BOOLEAN, operator.not_),
    "implies": _Operator("=>", 2, 2, BOOLEAN, BOOLEAN, lambda one, other: not one or other),
    "=": _Operator("=", 2, 2, None, BOOLEAN, operator.eq),
    "!=": _Operator("distinct", 2, 2, None, BOOLEAN, operator.ne),
    "<": _Operator("<", 2, 2, INTEGER, BOOLEAN, operator.lt),
    "<=": _Operator("<=", 2, 2, INTEGER, BOOLEAN, operator.le),
    ">": _Operator(">", 2, 2, INTEGER, BOOLEAN, operator.gt),
    ">=": _Operator(">=", 2, 2, INTEGER, BOOLEAN, operator.ge),
    "+": _Operator("+", 2, None, INTEGER, INTEGER, lambda *operands: sum(operands)),
    "-": _Operator("-", 2, 2, INTEGER, INTEGER, operator.sub),
    "*": _Operator("*", 2, 2, INTEGER, INTEGER, operator.mul),
}


def _literal(number: int) -> str:
    return str(number) if number >= 0 else f"(- {-number})"


def _fits(variable: IntegerVariable | BooleanVariable, value: bool | int) -> bool:
    if isinstance(variable, BooleanVariable):
        return isinstance(value, bool)
    return type(value) is int and variable.minimum <= value <= variable.maximum


def _value(expression: Any, values: Values) -> Any:
    """What an expression that was read is worth."""
    if isinstance(expression, str):
        return values[expression]
    if isinstance(expression, list):
        head, *operands = expression
        return _OPERATORS[head].meaning(*[_value(operand, values) for operand in operands])
    return expression
