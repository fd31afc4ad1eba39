"""Run folders that older releases wrote are read and judged as they were then: see `docs/journal.md`."""

import json
import shutil
from pathlib import Path

import pytest

from analyzer.report import analyse
from analyzer.results_json import document
from analyzer.trend import trend
from analyzer.writer import write

OLD = sorted((Path(__file__).parent / "old_runs").iterdir())
WORDING = {"text", "reason", "reasons", "hints", "advice", "notes"}
"""Sentences for people may be put in other words."""


def differences(then, now, where=""):
    """What was under a key then and is not now; keys that came later are no difference."""
    if isinstance(then, dict) and isinstance(now, dict):
        for key, value in then.items():
            if key in WORDING:
                continue
            if key not in now:
                yield f"{where}.{key} is gone"
            else:
                yield from differences(value, now[key], f"{where}.{key}")
    elif isinstance(then, list) and isinstance(now, list) and len(then) == len(now):
        for place, (one, other) in enumerate(zip(then, now, strict=True)):
            yield from differences(one, other, f"{where}[{place}]")
    elif then != now:
        yield f"{where} was {then!r} and is {now!r}"


@pytest.mark.parametrize("folder", OLD, ids=lambda folder: folder.name)
def test_an_old_folder_says_what_it_said(folder, tmp_path):
    """Verdict, rules, numbers, accounting and comparison are those that the release of its time found."""
    run = shutil.copytree(folder, tmp_path / "run")
    then = json.loads((folder / "results.json").read_text())
    report = analyse(run)

    assert then["verdict"] == "PASS"
    assert list(differences(then, document(report))) == []
    write(report, run, None)
    assert [path.read_bytes() for path in (run / "journals").iterdir()] == [
        path.read_bytes() for path in (folder / "journals").iterdir()
    ]


def test_old_results_are_part_of_a_trend():
    """`trend` reads the results.json of every release."""
    found = trend(OLD[0].parent)

    assert len(found.runs) == len(OLD)
    assert all(value is not None for value in found.series[0].values)


def test_a_trend_leaves_out_what_it_cannot_read(tmp_path):
    """One run that is newer or damaged costs the others nothing, and is named."""
    for name in ("first", "second", "newer", "damaged"):
        shutil.copytree(OLD[0], tmp_path / name)
    manifest = tmp_path / "newer" / "manifest.json"
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"schema_version": 99}))
    (tmp_path / "damaged" / "plan.yaml").write_bytes(b"\xff\x00")
    found = trend(tmp_path)

    assert [run.folder for run in found.runs] == ["first", "second"]
    assert len(found.left_out) == 2
    assert any("damaged" in told and "plan cannot be read" in told for told in found.left_out)
    assert any("newer loadproof" in told for told in found.left_out)
