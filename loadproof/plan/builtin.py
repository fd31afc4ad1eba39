"""The plans that come with the suites: `locustfiles/<suite>/<name>.yaml`."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Final

from loadproof.errors import Mistake, PlanError
from loadproof.plan.node import did_you_mean, quoted

FILE_ENDINGS: Final = (".yaml", ".yml", ".json")


def builtin_plans() -> dict[str, Path]:
    """Built-in name -> file, in alphabetical order. The suites are found, not imported."""
    spec = find_spec("locustfiles")
    folders = spec.submodule_search_locations if spec else None
    files = [file for folder in folders or () for file in Path(folder).glob("*/*.yaml")]
    return {file.stem: file for file in sorted(files, key=lambda file: file.stem)}


def resolve(argument: str) -> Path:
    """The file that a plan argument means: a path if it has `/` or a plan's ending, else a built-in name.

    Raises PlanError for a name that is not built in; whether a file exists shows when it is read.
    """
    if "/" in argument or argument.endswith(FILE_ENDINGS):
        return Path(argument)
    plans = builtin_plans()
    if argument in plans:
        return plans[argument]
    message = f"there is no built-in plan {quoted(argument)}; there are {', '.join(plans) or 'none'}"
    hint = did_you_mean(argument, plans) or f"a path needs a / or ends in {', '.join(FILE_ENDINGS)}"
    raise PlanError([Mistake(message, None, hint)])
