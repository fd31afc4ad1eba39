"""What a constitutional principle is, and how an action is scored against them. Pure: no database, no HTTP.

A principle is satisfied by an action unless one of these violates it:

    a required attribute is missing      it is not there, or is an empty string or list
    a prohibited pattern matches         its attribute is a string, and the whole of it matches
    a prohibited condition holds         as those of policies do: see `target.policy`

Attributes are `actor`, `action`, `resource`, `justification` and `attributes.NAME`. The score is the weight of
the satisfied principles over the weight of all, a fraction that is not reduced; an action is compliant when its
score is at least THRESHOLD. All of it is integer arithmetic, so that anybody comes to the same result.
"""

from __future__ import annotations

from typing import Annotated, Any, Final

from msgspec import Meta, Struct

from target.policy import NO_NUL, Attributes, Condition, compares, matches

ATTRIBUTE: Final = r"\A(actor|action|resource|justification|attributes\.[a-z][a-z0-9_]{0,63})\Z"

Path = Annotated[str, Meta(pattern=ATTRIBUTE)]


class Pattern(Struct, frozen=True, forbid_unknown_fields=True):
    attribute: Path
    pattern: Annotated[str, Meta(min_length=1, max_length=64)]


class Prohibition(Condition, frozen=True, forbid_unknown_fields=True):
    """A policy's condition on an attribute of a submitted action."""

    attribute: Path


class Principle(Struct, frozen=True, forbid_unknown_fields=True):
    name: Annotated[str, Meta(min_length=1, max_length=100), NO_NUL]
    weight: Annotated[int, Meta(ge=1, le=10)]
    required_attributes: Annotated[tuple[Path, ...], Meta(max_length=8)] = ()
    prohibited_patterns: Annotated[tuple[Pattern, ...], Meta(max_length=8)] = ()
    prohibited_conditions: Annotated[tuple[Prohibition, ...], Meta(max_length=8)] = ()


class SubmittedAction(Struct, frozen=True, forbid_unknown_fields=True):
    """Who wants to do what to which thing, and why."""

    actor: Annotated[str, Meta(min_length=1, max_length=128)]
    action: Annotated[str, Meta(min_length=1, max_length=128)]
    resource: Annotated[str, Meta(min_length=1, max_length=256)]
    attributes: Attributes = {}
    justification: Annotated[str, Meta(max_length=256)] = ""


class Fraction(Struct, frozen=True):
    numerator: int
    denominator: int


class Score(Fraction, frozen=True):
    value: float
    """Numerator over denominator, as the nearest double."""


class Finding(Struct, frozen=True):
    """How one principle fares, and each reason why it is violated."""

    principle_id: int
    name: str
    weight: int
    satisfied: bool
    missing_attributes: list[str]
    matched_patterns: list[int]
    """Positions, from 0, in the principle's `prohibited_patterns`."""
    held_conditions: list[int]
    """Positions, from 0, in the principle's `prohibited_conditions`."""


THRESHOLD: Final = Fraction(19, 20)


def find(identity: int, principle: Principle, action: SubmittedAction) -> Finding:
    """Look at every reason there is: a violated principle names all of them."""
    missing = [path for path in principle.required_attributes if _attribute(path, action) in (None, "", [])]
    matched = [at for at, pattern in enumerate(principle.prohibited_patterns) if _matches(pattern, action)]
    held = [
        at
        for at, condition in enumerate(principle.prohibited_conditions)
        if compares(condition, _attribute(condition.attribute, action))
    ]
    satisfied = not (missing or matched or held)
    return Finding(identity, principle.name, principle.weight, satisfied, missing, matched, held)


def score(findings: list[Finding]) -> Score:
    """At least one finding."""
    satisfied = sum(finding.weight for finding in findings if finding.satisfied)
    total = sum(finding.weight for finding in findings)
    return Score(satisfied, total, satisfied / total)


def compliant(reached: Score) -> bool:
    return reached.numerator * THRESHOLD.denominator >= THRESHOLD.numerator * reached.denominator


def _matches(pattern: Pattern, action: SubmittedAction) -> bool:
    found = _attribute(pattern.attribute, action)
    return isinstance(found, str) and matches(pattern.pattern, found)


def _attribute(path: str, action: SubmittedAction) -> Any:
    space, _, name = path.partition(".")
    return action.attributes.get(name) if name else getattr(action, space)


DEFAULTS: Final = (
    Principle(
        name="Accountability",
        weight=10,
        required_attributes=("justification", "attributes.responsible"),
        prohibited_patterns=(Pattern("actor", "anonymous*"),),
    ),
    Principle(
        name="Human oversight",
        weight=9,
        prohibited_patterns=(Pattern("action", "override-*"),),
        prohibited_conditions=(Prohibition("attributes.oversight", "equals", "none"),),
    ),
    Principle(
        name="Equal treatment",
        weight=9,
        prohibited_conditions=(
            Prohibition("attributes.criteria", "contains", "origin"),
            Prohibition("attributes.criteria", "contains", "religion"),
        ),
    ),
    Principle(
        name="Purpose limitation",
        weight=8,
        required_attributes=("attributes.purpose",),
        prohibited_conditions=(Prohibition("attributes.purpose", "in", ["profiling", "resale"]),),
    ),
    Principle(
        name="Integrity of records",
        weight=8,
        prohibited_patterns=(Pattern("action", "delete*"), Pattern("resource", "audit/*/sealed")),
    ),
    Principle(
        name="Data minimisation",
        weight=7,
        prohibited_patterns=(Pattern("resource", "*/full-export"),),
        prohibited_conditions=(Prohibition("attributes.records", "greater_than", 10_000),),
    ),
    Principle(
        name="Transparency",
        weight=6,
        prohibited_patterns=(Pattern("justification", "*confidential*"),),
        prohibited_conditions=(Prohibition("attributes.notified", "equals", False),),
    ),
    Principle(
        name="Proportionality",
        weight=5,
        prohibited_conditions=(Prohibition("attributes.impact", "at_least", 80),),
    ),
    Principle(
        name="Data residency",
        weight=3,
        prohibited_conditions=(Prohibition("attributes.region", "not_in", ["eu-central", "eu-west"]),),
    ),
    Principle(
        name="Limited retention",
        weight=2,
        prohibited_conditions=(Prohibition("attributes.retention_days", "greater_than", 3_650),),
    ),
)
"""The constitution that a new store begins with. Their weights sum to 67: an action that violates no more than
one of the last two is still compliant."""
