"""Report files are written whole or not at all."""

import json
from dataclasses import replace

import pytest
from reporting import passing

from analyzer import writer
from loadproof.errors import RunFolderError


def test_every_file_is_written_and_named(tmp_path):
    """All report files, the charts and the manifest are there, and nothing half-written beside them."""
    folder = tmp_path / "run"
    folder.mkdir()
    written = writer.write(passing(), folder, tmp_path / "charts")

    assert {path.name for path in folder.iterdir()} == {*writer.FILES, "manifest.json"}
    assert all(path.stat().st_size > 100 for path in written)
    assert {path for path in written if path.suffix == ".png"} == set((tmp_path / "charts" / "run").iterdir())
    assert json.loads((folder / "manifest.json").read_text())["verdict"] == "PASS"


def test_charts_are_left_out_when_no_place_is_given(tmp_path):
    """Without a place for charts only the run folder is written."""
    assert all(path.parent == tmp_path for path in writer.write(passing(), tmp_path, None))


def test_an_unreadable_manifest_is_not_overwritten(tmp_path):
    """A manifest that could not be read stays byte for byte, for whoever repairs it."""
    (tmp_path / "manifest.json").write_bytes(b'{"run": "cut')
    writer.write(replace(passing(), manifest={}), tmp_path, None)

    assert (tmp_path / "manifest.json").read_bytes() == b'{"run": "cut'


def test_an_unwritable_place_is_said_with_its_path(tmp_path):
    """A place that cannot be written is one message, and leaves no temporary file."""
    (tmp_path / "report.html").mkdir()
    with pytest.raises(RunFolderError, match=r"report\.html: cannot be written: .*writable"):
        writer.write(passing(), tmp_path, None)

    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_a_charts_place_that_is_a_file_is_said(tmp_path):
    """A charts folder that cannot be made is one message."""
    (tmp_path / "charts").write_text("")
    with pytest.raises(RunFolderError, match="cannot be written"):
        writer.write(passing(), tmp_path, tmp_path / "charts")


def test_a_failing_renderer_leaves_the_old_file(tmp_path, monkeypatch):
    """When a renderer breaks in the middle, the file of before is still whole."""
    (tmp_path / "metrics.csv").write_text("old")

    def broken(report):
        yield b"half"
        raise OSError(28, "No space left on device")

    monkeypatch.setitem(writer.FILES, "metrics.csv", broken)
    with pytest.raises(RunFolderError, match="No space left on device"):
        writer.write(passing(), tmp_path, None)

    assert (tmp_path / "metrics.csv").read_text() == "old"
    assert not (tmp_path / ".metrics.csv.new").exists()
