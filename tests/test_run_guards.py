"""Runs that a guard stops or warns of: the load is over within 2 s, exit 5, the reason in every report."""

import pytest
from commands import VISITOR, loadproof, manifest, results, run_folder

from loadproof.measure.journal import Journal

FELT_US = 2_000_000
BROKEN = VISITOR.replace("/gateway/health", "/nowhere")
GROWING = VISITOR.replace("self.client", "KEPT.append(bytearray(2_000_000)); self.client").replace(
    "class", "KEPT = []\n\n\nclass"
)


def run(here, guards, visitor=VISITOR, seconds=40):
    (here / "visitor.py").write_text(visitor)
    words = ("run", "-f", "visitor.py", "-u", "20", "-t", f"{seconds}s", "--set", f"guards={guards}")
    return loadproof(*words, "--set", "regions=[{name: east}, {name: west}]", cwd=here)


def begun(folder):
    """(run time at which the second begins, requests begun in it), of every worker."""
    return [
        (interval.start_us, interval.started)
        for path in (folder / "journals").iterdir()
        for interval in Journal(path).intervals()
    ]


@pytest.mark.parametrize(
    ("guards", "visitor"),
    [
        ("{generator.memory: 1MB}", VISITOR),
        ("{errors: 90%}", BROKEN),
        ("{duration: {warn: 1s, stop: 3s}}", VISITOR),
        pytest.param("{users: 20}", VISITOR, marks=pytest.mark.long),
        pytest.param("{free_disk: 100000TB}", VISITOR, marks=pytest.mark.long),
        pytest.param("{target.memory: 1MB}", VISITOR, marks=pytest.mark.long),
        pytest.param("{generator.cpu: 1%}", VISITOR, marks=pytest.mark.long),
        pytest.param("{target.cpu: 0.5%}", VISITOR, marks=pytest.mark.long),
        pytest.param("{generator.memory_growth: 1MB/s}", GROWING, marks=pytest.mark.long),
    ],
)
def test_a_guard_stops_the_run(tmp_path, guards, visitor):
    """Nothing begins 2 s after it trips; exit 5, INVALID, and guard, value and level are named everywhere."""
    done = run(tmp_path, guards, visitor)
    folder = run_folder(tmp_path)

    assert done.returncode == 5, done.stdout + done.stderr
    stop = manifest(folder)["stop"]
    assert stop["by"] == "guard"
    assert guards[1:].partition(":")[0] in stop["why"]
    found = results(folder)
    assert found["verdict"] == "INVALID"
    assert found["guards"][-1] == {
        "guard": guards[1:].partition(":")[0],
        "level": "stop",
        "at_ms": found["guards"][-1]["at_ms"],
        "why": stop["why"],
    }
    assert sum(count for _, count in begun(folder)) == found["accounting"]["target_counted"] > 0
    assert not any(count for at_us, count in begun(folder) if at_us >= stop["at_us"] + FELT_US)
    for file in ("summary.md", "report.html", "junit.xml"):
        assert stop["why"] in (folder / file).read_text(), file


def test_a_guard_that_warns_lets_the_run_end(tmp_path):
    """The run goes on to its end and is WARN at best, with the guard among the reasons; others stay silent."""
    done = run(tmp_path, "{users: {warn: 10, stop: 100}, memory: 100GB, cpu: 100%}", seconds=4)
    found = results(run_folder(tmp_path))

    assert done.returncode == 0, done.stdout + done.stderr
    assert found["verdict"] == "WARN"
    assert [(guard["guard"], guard["level"]) for guard in found["guards"]] == [("users", "warn")]
    assert any(reason["code"] == "guard" and "users is 20" in reason["text"] for reason in found["reasons"])


def test_a_guard_that_would_see_nothing_is_refused(tmp_path):
    """Before any load: the memory of a target elsewhere is nobody's to read here."""
    (tmp_path / "visitor.py").write_text(VISITOR)
    words = ("run", "-f", "visitor.py", "--target", "http://198.18.0.1", "--yes", "-t", "2s")
    done = loadproof(*words, "--set", "guards={target.memory: 1GB}", cwd=tmp_path)

    assert done.returncode == 2
    assert "the guard target.memory would see nothing" in done.stderr
    assert not (tmp_path / "reports").exists()
