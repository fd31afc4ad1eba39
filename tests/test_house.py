"""The house: floors, library homes and names, read from the source with `ast`."""

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FLOORS = {
    "loadproof.errors": 0,
    "loadproof.units": 0,
    "loadproof.plan": 1,
    "loadproof.measure": 1,
    "loadproof.verdict": 2,
    "loadproof.client": 3,
    "loadproof.faults": 3,
    "locustfiles": 3,
    "distributed": 4,
    "analyzer": 4,
    "monitoring": 4,
    "target": 4,
    "loadproof.cli": 5,
    "loadproof.__main__": 6,
}
NEIGHBOURS = {
    ("loadproof.units", "loadproof.errors"),
    ("locustfiles", "loadproof.client"),
    ("distributed", "monitoring"),
}
"""The arrows that stay on a floor."""
HOMES = {
    "locust": ("distributed", "loadproof.client", "locustfiles"),
    "gevent": ("distributed", "loadproof.client", "locustfiles"),
    "flask": ("distributed",),
    "geventhttpclient": ("loadproof.client",),
    "requests": ("loadproof.client",),
    "greenlet": ("loadproof.client",),
    "httptools": ("loadproof.client",),
    "brotli": ("loadproof.client",),
    "zstandard": ("loadproof.client",),
    "websocket": ("loadproof.client",),
    "zmq": ("distributed.link",),
    "psutil": ("distributed",),
    "msgspec": ("loadproof.measure", "loadproof.client", "distributed", "analyzer", "target"),
    "pydantic": ("loadproof.plan",),
    "yaml": ("loadproof.plan",),
    "numpy": ("loadproof.verdict", "loadproof.measure.arrays", "loadproof.measure.bulk"),
    "scipy": ("loadproof.verdict",),
    "jinja2": ("analyzer",),
    "markupsafe": ("analyzer",),
    "vl_convert": ("analyzer",),
    "junitparser": ("analyzer",),
    "hdrh": ("analyzer",),
    "starlette": ("target",),
    "uvicorn": ("target",),
    "uvloop": ("target",),
    "prometheus_client": ("target", "monitoring"),
    "cryptography": ("target", "locustfiles"),
    "z3": ("target",),
    "psycopg": ("target",),
    "redis": ("target",),
    "grafana_foundation_sdk": ("monitoring",),
    "structlog": ("target", "analyzer"),
    "typer": ("loadproof.cli",),
    "click": ("loadproof.cli",),
    "rich": ("loadproof.cli",),
}
OURS = ("loadproof", "locustfiles", "distributed", "analyzer", "monitoring", "target")


def modules():
    for package in OURS:
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), path


def imports(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            assert node.module is not None
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def room(module):
    """The longest name in FLOORS that a module lies in."""
    parts = module.split(".")
    for length in (2, 1):
        if ".".join(parts[:length]) in FLOORS:
            return ".".join(parts[:length])
    return None


def test_no_import_goes_up_a_floor():
    """A room imports only itself and rooms on lower floors; rooms of one floor do not know each other."""
    wrong = [
        f"{module} (floor {FLOORS[here]}) imports {name} (floor {FLOORS[there]})"
        for module, path in modules()
        if (here := room(module)) is not None
        for name in imports(path)
        if (there := room(name)) is not None and there != here and FLOORS[there] >= FLOORS[here]
        if (here, there) not in NEIGHBOURS
    ]

    assert wrong == []


def test_locustfiles_know_only_the_client():
    """Of our packages, a suite imports `loadproof.client` and its own folder only."""
    wrong = [
        f"{module} imports {name}"
        for module, path in modules()
        if module.startswith("locustfiles")
        for name in imports(path)
        if name.split(".")[0] in OURS and not name.startswith(("loadproof.client", "locustfiles"))
    ]

    assert wrong == []


def test_every_library_stays_in_its_home():
    """A third-party library is imported only in the rooms that the table names, and every one is named."""
    wrong = []
    for module, path in modules():
        for name in imports(path):
            top = name.split(".")[0]
            if top in OURS or top in sys.stdlib_module_names:
                continue
            homes = HOMES.get(top)
            if homes is None:
                wrong.append(f"{module} imports {top}, which has no home")
            elif not any(module == home or module.startswith(home + ".") for home in homes):
                wrong.append(f"{module} imports {top}, which lives in {', '.join(homes)}")

    assert wrong == []


def test_every_room_is_on_a_floor():
    """Nothing stands outside the table of floors."""
    outside = [module for module, _ in modules() if room(module) is None and module not in OURS]

    assert outside == []


@pytest.mark.parametrize("package", OURS)
def test_our_package_names_are_ours(package):
    """A library of the same name (dask's `distributed`, say) must not be imported in our package's place."""
    found = Path(importlib.import_module(package).__file__).resolve()

    assert found.is_relative_to(ROOT), (
        f"{package} is {found}: another library of that name is installed before ours"
    )


def test_no_module_shadows_the_standard_library():
    """Locust puts a locustfile's folder first on sys.path, so no module of a suite has a standard name."""
    shadows = [
        str(path)
        for module, path in modules()
        if module.startswith("locustfiles.") and path.stem in sys.stdlib_module_names
    ]

    assert shadows == []


def test_packages_have_empty_init_files():
    """An `__init__.py` holds nothing, except the command line's table of contents."""
    full = [
        str(path) for module, path in modules() if path.name == "__init__.py" and path.read_text().strip()
    ]

    assert full == [str(ROOT / "loadproof" / "cli" / "__init__.py")]


@pytest.mark.parametrize(
    ("module", "unwanted"),
    [
        ("analyzer.report", "gevent"),
        ("analyzer.report", "locust"),
        ("analyzer.report", "vl_convert"),
        ("distributed.worker_process", "vl_convert"),
        ("distributed.worker_process", "prometheus_client"),
        ("distributed.worker_process", "scipy"),
        ("distributed.worker_process", "starlette"),
        ("loadproof.faults.keeper", "pydantic"),
        ("loadproof.faults.proxy", "gevent"),
        ("loadproof.cli", "gevent"),
        ("loadproof.cli", "pydantic"),
        ("target.server", "gevent"),
        ("target.server", "numpy"),
    ],
)
def test_a_room_does_not_load_what_it_does_not_use(module, unwanted):
    """A worker loads no chart code, the analyzer no gevent, the command line nothing before its verb."""
    code = f"import sys, {module}; sys.exit({unwanted!r} in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], check=False, cwd=ROOT).returncode == 0


def test_tracked_files_name_no_registry_and_no_machine():
    """No tracked file carries a package registry's host or an absolute path of somebody's machine."""
    hosts = ["pypi" + ".org", "python" + "hosted.org", "deb.debian" + ".org", "registry.npmjs" + ".org"]
    paths = ["/root/" + ".pyenv", "/work/" + "main", "/home/" + "runner"]
    tracked = subprocess.run(
        ["git", "ls-files", "-z"], capture_output=True, check=True, cwd=ROOT, text=True
    ).stdout.split("\0")
    found = [
        f"{name}: {word}"
        for name in tracked
        if name and (ROOT / name).is_file() and not name.endswith(".png")
        for word in hosts + paths
        if word in (ROOT / name).read_text(errors="replace")
    ]

    assert found == []
