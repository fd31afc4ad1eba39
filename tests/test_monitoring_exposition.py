"""The text that scrapers get; `prometheus_client`'s own writers are the oracle."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, exposition, openmetrics
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics.exposition import generate_latest as openmetrics_latest
from prometheus_client.samples import Sample

from monitoring import exposition as ours
from monitoring.metrics import Kind

CLASSIC = exposition.CONTENT_TYPE_PLAIN_0_0_4
OPENMETRICS = openmetrics.exposition.CONTENT_TYPE_LATEST
SUFFIXES = {Kind.COUNTER: ("_total",), Kind.INFO: ("_info",)}

texts = st.text(st.characters(codec="utf-8"), max_size=8)
names = st.sampled_from(["le", "a", "region", "z_1"])
numbers = st.integers(-10, 2**60) | st.floats()


@st.composite
def families(draw):
    kind = draw(st.sampled_from(Kind))
    unit = draw(st.sampled_from(["", "seconds"]))
    family = Metric(draw(st.sampled_from(["m", "n", "o"])) + ("_x" if unit else ""), draw(texts), kind, unit)
    for suffix in SUFFIXES.get(kind, ("_bucket",) if kind is Kind.HISTOGRAM else ("",)):
        for _ in range(draw(st.integers(0, 2))):
            labels = draw(st.dictionaries(names, texts, max_size=3))
            family.samples.append(Sample(family.name + suffix, labels, draw(numbers)))
    return family


class Fixed:
    def __init__(self, given):
        self.given = given

    def collect(self):
        return self.given


@given(st.lists(families(), max_size=3))
@settings(max_examples=80, deadline=None)
def test_both_formats_are_those_of_the_library(given):
    """Whatever the names, labels and numbers: byte for byte what `prometheus_client` writes."""
    assert ours.exposition(given, CLASSIC) == exposition.generate_latest(Fixed(given))
    assert ours.exposition(given, OPENMETRICS) == openmetrics_latest(Fixed(given))


def test_a_text_that_is_no_utf8_does_not_spoil_a_scrape():
    """A lone surrogate is written as a question mark."""
    family = Metric("m", "help", "gauge")
    family.samples.append(Sample("m", {"a": "x\ud800y"}, 1))

    assert ours.exposition([family], CLASSIC).splitlines()[-1] == b'm{a="x?y"} 1.0'


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (None, CLASSIC),
        ("*/*", CLASSIC),
        ("text/html,application/xhtml+xml", CLASSIC),
        ("text/plain;version=0.0.4;q=0.5,*/*;q=0.1", CLASSIC),
        (
            "application/openmetrics-text;version=1.0.0;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
            OPENMETRICS,
        ),
    ],
)
def test_the_scraper_chooses_the_format(accept, expected):
    """OpenMetrics for who takes it, as Prometheus does; the classic format for everybody else."""
    assert ours.content_type(accept) == expected


def test_the_registry_takes_what_is_collected():
    """The families are those of the library: its own registry and writers serve them as well."""
    registry = CollectorRegistry()
    family = Metric("m_seconds", "help", "counter", "seconds")
    family.samples.append(Sample("m_seconds_total", {}, 1))
    registry.register(Fixed([family]))

    assert registry.get_sample_value("m_seconds_total") == 1
