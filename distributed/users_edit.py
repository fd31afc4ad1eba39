"""A change by hand of the users of a run that goes on: for a moment to come, written down, and told to everybody."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from loadproof.plan.edits import EditedLoad, LoadEdit
from loadproof.plan.profile import users_at
from loadproof.plan.search import first_edit
from loadproof.units import format_count, format_duration

if TYPE_CHECKING:
    from distributed.load_keeper import LoadKeeper
    from distributed.run_folder import RunFolder
    from loadproof.plan.model import Plan

LEAD_US: Final = 2_000_000
"""Before the change, in which every worker hears of it, behind a slow link too."""
LEFT_US: Final = 3_000_000
"""Of the plan after the change, at least."""


def editable(plan: Plan) -> Plan:
    """The plan with a load that takes edits; an open plan as it is, unless it searches: its load are arrivals."""
    if plan.search is not None:
        return plan.model_copy(update={"load": EditedLoad(plan.load, [first_edit(plan)])})
    return plan if plan.open else plan.model_copy(update={"load": EditedLoad(plan.load)})


def edit_users(plan: Plan, keeper: LoadKeeper, folder: RunFolder, users: int, who: str) -> str:
    """Let the run have so many users from in two seconds on, to its end; what is said to who wants it.

    ValueError says why not. All who go by this plan's load go by the edit from then on; nothing of the past changes.
    """
    load, now = plan.load, keeper.now_us
    if plan.search is not None:
        raise ValueError("this run searches for the load that its target sustains, and sets the users itself")
    if plan.open:
        raise ValueError(
            "the load of an open plan is arrivals, and its users only serve them: nothing to edit"
        )
    assert isinstance(load, EditedLoad)
    if keeper.clock is None or now is None or keeper.membership.over:
        raise ValueError("users can be edited while the load goes on, and it does not")
    if not 1 <= users <= plan.max_users:
        raise ValueError(
            f"this run can have 1 to {plan.max_users:,} users, the plan's peak: start loadproof with --users for more"
        )
    at_us = now + LEAD_US
    if load.edits and load.edits[-1].at_us >= at_us:
        raise ValueError("an edit is still to come: try again in a moment")
    if at_us > plan.duration_us - LEFT_US:
        raise ValueError("the plan is as good as over: too late for another number of users")
    was = users_at(load, at_us)
    if was == users:
        raise ValueError(f"there are {users:,} users")
    note: dict[str, Any] = {"at_us": at_us, "was": was, "users": users, "who": who}
    folder.write_manifest(users_edited=[*folder.manifest.get("users_edited", []), note])
    load.edits.append(LoadEdit(at_us, users))
    text = f"{format_count(was)} users become {format_count(users)}, to the end of the plan"
    folder.event(at_us, "users_edited", text, who)
    keeper.edited()
    return f"{text}, from {format_duration(at_us)} on; the run is WARN at best"
