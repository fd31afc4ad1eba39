"""Whole reports against files under tests/golden, so that a change of any report is seen in its diff.

`UPDATE_GOLDEN=1 pytest tests/test_analyzer_golden.py` writes the files anew.
"""

import difflib
import hashlib
import os
import re
from pathlib import Path

import pytest
from reporting import REPORTS

from analyzer import junit, metrics_csv, report_html, requests_csv, results_json, summary_md, text

HUGE = "huge"
GOLDEN = Path(__file__).parent / "golden"


def page(report):
    """report.html without charts, whose text is placed by the machine's fonts, and without what is the same in all."""
    text = report_html.page(report, []).decode()
    text = re.sub(r"<style>.*?</style>", "<style></style>", text, count=1, flags=re.DOTALL)
    text = re.sub(r"<script>.*</script>", "<script></script>", text, count=1, flags=re.DOTALL)
    return re.sub(r"'sha256-[^']*'", "'sha256-'", text, count=1).encode()


RENDERERS = {
    "results.json": results_json.render,
    "summary.md": summary_md.render,
    "requests.csv": requests_csv.render,
    "metrics.csv": metrics_csv.render,
    "junit.xml": junit.render,
    "report.html": page,
    "terminal.txt": text.render,
}


@pytest.mark.parametrize("file", RENDERERS)
@pytest.mark.parametrize("report", [name for name in REPORTS if name != HUGE])
def test_a_report_is_the_golden_one(report, file):
    """Every renderer writes exactly the bytes of its golden file."""
    golden = GOLDEN / report / file
    rendered = RENDERERS[file](REPORTS[report]())
    if os.environ.get("UPDATE_GOLDEN"):
        golden.parent.mkdir(exist_ok=True)
        golden.write_bytes(rendered)
    expected = golden.read_bytes()
    if rendered != expected:
        lines = difflib.unified_diff(
            expected.decode().splitlines(),
            rendered.decode().splitlines(),
            str(golden.name),
            "rendered now",
            lineterm="",
        )
        pytest.fail("\n".join(lines) or "only line ends differ", pytrace=False)


def test_a_huge_report_is_the_golden_one():
    """A run of 1,000 endpoints gives the bytes whose digests are kept, and a page that a browser can bear."""
    golden = GOLDEN / HUGE / "digests.txt"
    rendered = {file: render(REPORTS[HUGE]()) for file, render in RENDERERS.items()}
    lines = [
        f"{file} {len(content)} bytes, SHA-256 {hashlib.sha256(content).hexdigest()}\n"
        for file, content in rendered.items()
    ]
    if os.environ.get("UPDATE_GOLDEN"):
        golden.parent.mkdir(exist_ok=True)
        golden.write_text("".join(lines))

    assert golden.read_text().splitlines(keepends=True) == lines
    assert len(rendered["report.html"]) < 3_000_000


def test_no_golden_file_is_left_over():
    """Each file under tests/golden is compared by the tests above."""
    expected = {(report, file) for report in REPORTS if report != HUGE for file in RENDERERS}
    expected.add((HUGE, "digests.txt"))

    assert {(path.parent.name, path.name) for path in GOLDEN.rglob("*") if path.is_file()} == expected


@pytest.mark.parametrize("file", RENDERERS)
def test_rendering_twice_gives_the_same_bytes(file):
    """A renderer depends on its report alone."""
    assert RENDERERS[file](REPORTS["hostile"]()) == RENDERERS[file](REPORTS["hostile"]())
