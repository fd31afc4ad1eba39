"""`docs/web-ui.md` against the flags, tabs and files that there are."""

import re
from pathlib import Path

import pytest
from commands import loadproof

from distributed.web.runs import FILES
from distributed.web.ui import TABS
from loadproof.cli.web_address import HOST, PORT

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "web-ui.md").read_text()


@pytest.mark.parametrize("verb", ["run", "master"])
def test_the_flags_are_those_of_the_verbs(tmp_path, verb):
    """Each flag of the table is one of `run` and of `master`, and every flag of the web UI is in it."""
    said = set(re.findall(r"^\| `(--[\w-]+)` \|", PAGE, re.MULTILINE))
    known = set(re.findall(r"--[\w-]+", loadproof(verb, "--help", cwd=tmp_path).stdout))

    assert said == {flag for flag in known if flag.startswith(("--web", "--auto"))}
    assert f"`{HOST}` without it" in PAGE
    assert f"{PORT} without it" in PAGE


def test_tabs_and_files_are_those_of_the_page():
    """By their names, in order."""
    assert re.findall(r"^\| ([A-Z][\w &]+) \|", PAGE, re.MULTILINE) == [title for _, title in TABS]
    files = PAGE.partition("Download Data")[2].partition("##")[0]
    assert tuple(re.findall(r"`([\w.]+)`", files)) == FILES
    assert (ROOT / "docs" / "images" / "web-ui.png").stat().st_size < 200_000
