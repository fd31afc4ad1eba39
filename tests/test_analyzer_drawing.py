"""Charts that another process draws are those that this one would have drawn."""

import os
import signal

from reporting import passing

from analyzer.drawing import Drawing
from analyzer.vega import to_png
from analyzer.writer import chart_specs, write_charts


def test_the_other_process_draws_the_same():
    """The pictures come in the order of their specs, byte for byte."""
    specs = list(chart_specs(passing()).values())[:2]
    with Drawing() as drawing:
        drawing.begin(specs)

        assert drawing.pictures() == [to_png(spec) for spec in specs]


def test_a_process_that_died_costs_no_chart(tmp_path):
    """Charts of a process that was killed are drawn here."""
    report = passing()
    with Drawing() as drawing:
        os.kill(drawing.pid, signal.SIGKILL)
        drawing.begin(list(chart_specs(report).values()))
        written = write_charts(report, tmp_path, drawing)

    assert [path.stem for path in written] == list(chart_specs(report))
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in written)
