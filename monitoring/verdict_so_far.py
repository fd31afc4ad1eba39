"""The worst that is known of a run that goes on.

It is not the run's verdict: whether journals are whole, the books close, the generator was fit and the load was
offered is judged at the end, from the journals.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from loadproof.verdict.result import RuleVerdict, Verdict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from loadproof.verdict.result import RuleResult

WORST_FIRST: Final = (
    Verdict.FAIL.value,
    Verdict.INVALID.value,
    RuleVerdict.NO_DATA.value,
    Verdict.WARN.value,
    Verdict.PASS.value,
)
"""NO_DATA is a rule with too little data yet: INVALID, if that is still so at the end."""


def verdict_so_far(rules: Sequence[RuleResult], torn: int, tolerated: int) -> str | None:
    """One of WORST_FIRST; None before anything is known.

    `torn` are journals that will never have an end, of which the plan tolerates so many.
    """
    known = {
        rule.verdict.value for rule in rules if not (rule.optional and rule.verdict is RuleVerdict.NO_DATA)
    }
    if torn > 0:
        known.add((Verdict.WARN if torn <= tolerated else Verdict.INVALID).value)
    return next((verdict for verdict in WORST_FIRST if verdict in known), None)
