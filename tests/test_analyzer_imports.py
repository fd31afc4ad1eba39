"""What the analyzer loads."""

import subprocess
import sys

HEAVY = {"gevent", "locust", "vl_convert", "jinja2", "starlette", "zmq"}


def loaded(statement):
    """Names of the top-level modules after a statement in a fresh interpreter."""
    code = f"import sys\n{statement}\nprint(*{{name.partition('.')[0] for name in sys.modules}})"
    made = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    return set(made.stdout.split())


def test_analysing_loads_no_renderer_and_no_load_engine():
    """`analyzer.report` is quick to import: no browserless renderer, no templates, no gevent."""
    assert not HEAVY & loaded("import analyzer.report")


def test_writing_reports_never_loads_the_load_engine(tmp_path):
    """Writing every file, charts included, loads neither gevent nor Locust."""
    code = (
        "import sys, pathlib; sys.path[:0] = ['tests/support']\n"
        "import reporting; from analyzer.writer import write\n"
        f"place = pathlib.Path({str(tmp_path)!r}); run = place / 'run'; run.mkdir()\n"
        "write(reporting.passing(), run, place / 'charts')"
    )

    assert not {"gevent", "locust", "zmq"} & loaded(code)
    assert sorted(path.name for path in (tmp_path / "charts" / "run").iterdir()) == [
        "lag.png",
        "latency.png",
        "throughput.png",
        "users.png",
        "workers.png",
    ]
