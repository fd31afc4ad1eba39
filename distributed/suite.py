"""User classes of a plan's suite, locustfile and flows, and the digest that tells one state of them from another."""

from __future__ import annotations

import functools
import hashlib
import importlib
import importlib.util
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from locust.util.load_locustfile import is_user_class, load_locustfile

from loadproof.client.flow import flow_class
from loadproof.errors import UsageError
from loadproof.plan.flow_writer import flow_document

if TYPE_CHECKING:
    from collections.abc import Iterable

    from loadproof.plan.flows import Flow


@dataclass(frozen=True)
class Suite:
    """What users do: Locust user classes by name."""

    classes: dict[str, Any]
    sha256: str
    """Over the names and bytes of every Python file of the suite, and over every flow with its rows."""
    shapes: tuple[Any, ...] = ()
    """The locustfile's LoadTestShapes."""

    @property
    def weights(self) -> dict[str, float]:
        return {name: float(user_class.weight) for name, user_class in self.classes.items()}

    @property
    def hosts(self) -> tuple[str, ...]:
        """The hosts that stand on the classes, each once."""
        return tuple(sorted({user_class.host for user_class in self.classes.values() if user_class.host}))

    @property
    def fixed(self) -> dict[str, int]:
        return {
            name: int(user_class.fixed_count)
            for name, user_class in self.classes.items()
            if user_class.fixed_count
        }

    def expected_health(self, scenarios: Iterable[str] | None) -> dict[str, str]:
        """Fields that the target's health must carry, gathered from the user classes that will run."""
        chosen = self.classes if scenarios is None else scenarios
        expected: dict[str, str] = {}
        for name in chosen:
            expected.update(getattr(self.classes[name], "expected_health", {}))
        return expected

    def declared(self, kind: str) -> dict[str, tuple[str, ...]]:
        """Scenario -> names of its `checks` or `metrics`; a stock user class declares none."""
        return {name: tuple(getattr(user_class, kind, ())) for name, user_class in self.classes.items()}


def load_suite(suite: str | None, locustfile: str | None, flows: Iterable[Flow] = ()) -> Suite:
    """Import the user classes, and make those of the flows; raises UsageError saying what is wrong with them."""
    loaded = Suite({}, _digest([]))
    if suite is not None:
        loaded = _load_built_in(suite)
    elif locustfile is not None:
        loaded = _load_file(Path(locustfile))
    return functools.reduce(with_flow, flows, loaded)


def with_flow(suite: Suite, flow: Flow) -> Suite:
    """The suite with one more class; UsageError if its name is taken or its rows cannot be read."""
    if flow.name in suite.classes:
        raise UsageError(f"there is a user class {flow.name} already: give the flow another name")
    user_class = flow_class(flow)
    told = flow_document(flow)
    digest = hashlib.sha256(suite.sha256.encode())
    if flow.rows is not None:
        told["rows"] = hashlib.sha256(Path(flow.rows.file).read_bytes()).hexdigest()
    digest.update(json.dumps([flow.name, told]).encode())
    return Suite({**suite.classes, flow.name: user_class}, digest.hexdigest())


def _load_built_in(suite: str) -> Suite:
    spec = importlib.util.find_spec("locustfiles")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    home = Path(next(iter(spec.submodule_search_locations)))
    folder = home / suite
    if not suite.isidentifier() or not (folder / "__init__.py").is_file():
        known = ", ".join(sorted(path.parent.name for path in home.glob("*/__init__.py")))
        raise UsageError(f"there is no suite {suite!r}: the suites are {known}")
    classes: dict[str, Any] = {}
    files = sorted(folder.glob("*.py"))
    for file in files:
        module = importlib.import_module(f"locustfiles.{suite}.{file.stem}")
        classes.update({name: value for name, value in vars(module).items() if is_user_class(value)})
    return Suite(_named(classes, f"suite {suite}"), _digest(files))


def _load_file(path: Path) -> Suite:
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "does not exist"
        raise UsageError(f"locustfile {path} {what}: name a Python file with Locust user classes")
    try:
        classes, shapes = load_locustfile(str(path.resolve()))
    except (Exception, SystemExit) as error:
        place = ""
        trace = error.__traceback__
        while trace is not None:
            if trace.tb_frame.f_code.co_filename == str(path.resolve()):
                place = f" at line {trace.tb_lineno}"
            trace = trace.tb_next
        if isinstance(error, SyntaxError) and error.lineno is not None:
            place = f" at line {error.lineno}"
        raise UsageError(
            f"locustfile {path} cannot be imported{place}: {type(error).__name__}: {error}"
        ) from error
    return Suite(_named(classes, f"locustfile {path}"), _digest([path]), tuple(shapes))


def _named(classes: dict[str, Any], where: str) -> dict[str, Any]:
    named = {user_class.__name__: user_class for user_class in classes.values()}
    if not named:
        raise UsageError(f"{where} has no user class: derive one from LoadUser, HttpUser or FastHttpUser")
    return dict(sorted(named.items()))


def _digest(files: list[Path]) -> str:
    digest = hashlib.sha256()
    for file in sorted(files):
        content = file.read_bytes()
        digest.update(f"{file.name}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()
