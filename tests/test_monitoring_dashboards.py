"""The dashboards: as their code makes them, in Grafana's own types, and asking only for what is served."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import grafana_types
import promql_parser
import pytest
import yaml
from commands import loadproof
from panelling import FOLDER, documents, queries, substituted

from loadproof.measure.interval import Outcome
from monitoring.dashboards import files
from monitoring.look import RunState
from monitoring.metrics import BY_NAME, Kind
from monitoring.verdict_so_far import WORST_FIRST
from target.metrics import Metrics

PROVISIONING = FOLDER.parent / "provisioning"
ASKED = list(queries())
PROMETHEUS_OWN = {
    "up": {"job", "instance"},
    "scrape_duration_seconds": {"job", "instance"},
    "ALERTS": {"job", "instance", "alertname", "alertstate", "severity"},
    "ALERTS_FOR_STATE": {"job", "instance", "alertname", "severity"},
    "prometheus_rule_group_last_duration_seconds": {"job", "instance", "rule_group"},
}
"""What Prometheus says of itself, and the labels of it."""
ROWS = {"row", "text"}
"""Panels without queries."""


def selectors(expression):
    """Every series that an expression asks for: its name, and the labels that it is picked by."""
    found, left = [], [promql_parser.parse(expression)]
    while left:
        node = left.pop()
        if isinstance(node, promql_parser.VectorSelector):
            found.append((node.name, {matcher.name for matcher in node.matchers.matchers}))
        for name in ("expr", "lhs", "rhs", "vector_selector", "param"):
            child = getattr(node, name, None)
            if child is not None:
                left.append(child)
        left += getattr(node, "args", None) or []
    return found


def served(tmp_path):
    """Name of a sample -> its labels: of the exporter, the target and Prometheus itself."""
    known = dict(PROMETHEUS_OWN)
    for name, metric in BY_NAME.items():
        for suffix in ("_bucket", "_count", "_sum") if metric.kind is Kind.HISTOGRAM else ("",):
            known[name + suffix] = {*metric.labels, "job", "instance"}
    metrics = Metrics(tmp_path, 0, 1)
    metrics.request("GET /policies/:id", 200, 1_000)
    metrics.proof("proved", 1_000)
    for family in metrics.collect():
        for sample in family.samples:
            known.setdefault(sample.name, {"job", "instance"}).update(sample.labels)
    return known


def test_they_are_what_their_code_makes():
    """The committed files, byte for byte, and no other; `loadproof dashboards` writes the same."""
    assert {path.name: path.read_text() for path in FOLDER.iterdir()} == files.documents()


def test_the_verb_writes_them(tmp_path):
    """Into a new folder, each named on a line of its own; with the reports' address each links to the report."""
    done = loadproof("dashboards", "--out", "new/boards", "--reports-url", "https://x.test/r/", cwd=tmp_path)
    written = sorted((tmp_path / "new" / "boards").iterdir())

    assert done.returncode == 0, done.stderr
    assert sorted(done.stdout.split()) == [f"new/boards/{path.name}" for path in written]
    for path in written:
        links = json.loads(path.read_text())["links"]
        assert [link["url"] for link in links if link["type"] == "link"] == [
            "https://x.test/r/${folder}/report.html"
        ]


def test_nothing_is_linked_that_may_not_be_there():
    """As committed, links lead to the dashboards themselves only, and the report's place is said in words."""
    for document in documents().values():
        assert [link["type"] for link in document["links"]] == ["dashboards"]
    [text] = [panel for panel in documents()["overview"]["panels"] if panel["type"] == "text"]
    assert "`reports/${folder}/report.html`" in text["options"]["content"]


def test_a_folder_that_cannot_be_written_is_bad_usage(tmp_path):
    """One line, exit code 2."""
    (tmp_path / "taken").write_text("")
    done = loadproof("dashboards", "--out", "taken", cwd=tmp_path)

    assert done.returncode == 2
    assert "cannot write dashboards to taken" in done.stderr
    assert "Traceback" not in done.stderr


def test_without_the_library_it_says_what_to_install(tmp_path):
    """One line that names the extra, exit code 2."""
    blocked = "import sys; sys.modules['grafana_foundation_sdk'] = None\n"
    code = f"{blocked}sys.argv = ['loadproof', 'dashboards']\nfrom loadproof.cli import main\nmain()"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )

    assert done.returncode == 2
    assert done.stderr.strip().endswith("not installed: pip install 'loadproof[dashboards]'")
    assert not list(tmp_path.iterdir())


def test_they_ask_for_what_is_served(tmp_path):
    """Every series of every query is one of the exporter's, the target's or Prometheus' own, picked by labels it has."""
    known = served(tmp_path)
    for asked in ASKED:
        for name, labels in selectors(substituted(asked.expression)):
            assert name in known, str(asked)
            assert labels <= known[name], str(asked)


def test_states_that_they_ask_for_exist():
    """A label value that is spelt wrong would be a panel that is empty for ever."""
    states = {
        "outcome": {outcome.value for outcome in Outcome},
        "verdict": set(WORST_FIRST),
        "state": {state.value for state in RunState} | {"PASS", "WARN", "FAIL", "NO_DATA"},
        "fate": {"taken", "no_user", "late"},
        "result": {"passed", "failed", "skipped"},
    }
    for asked in ASKED:
        for label, values in states.items():
            for said in re.findall(rf'\b{label}=~?"([^"]*)"', asked.expression):
                assert set(said.split("|")) <= values, str(asked)


def test_promtool_reads_every_query(tmp_path):
    """Prometheus' own parser, with each query as a rule that is recorded."""
    rules = [
        {"record": f"panel_{number}", "expr": substituted(asked.expression)}
        for number, asked in enumerate(ASKED)
    ]
    path = tmp_path / "panels.yml"
    path.write_text(json.dumps({"groups": [{"name": "panels", "rules": rules}]}))
    done = subprocess.run(
        ["promtool", "check", "rules", str(path)], capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(ASKED)} rules found" in done.stdout


@pytest.mark.parametrize("name", sorted(documents()))
def test_they_are_whole(name):
    """Own ids, a grid without holes or overlaps, every variable defined, every panel titled, described and asked."""
    document = documents()[name]
    panels = document["panels"]
    variables = {variable["name"] for variable in document["templating"]["list"]}
    used = set(re.findall(r"\$\{?(?!__)([a-z]\w*)", json.dumps(document)))
    cells = [
        (x, y)
        for panel in panels
        for box in [panel["gridPos"]]
        for x in range(box["x"], box["x"] + box["w"])
        for y in range(box["y"], box["y"] + box["h"])
    ]

    assert document["uid"] == f"loadproof-{name}"
    assert {"datasource", "run", "region", "scenario", "name", "quantile"} <= variables
    assert used <= variables
    assert len({panel["id"] for panel in panels}) == len(panels)
    assert len(set(cells)) == len(cells) == 24 * (max(y for _, y in cells) + 1)
    for panel in panels:
        if panel["type"] not in ROWS:
            assert panel["title"]
            assert panel["description"].endswith((".", ":"))
            assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
            assert panel["targets"]
            assert (
                panel["type"] in {"table", "state-timeline", "heatmap"}
                or (panel["fieldConfig"]["defaults"]["unit"])
            )


def test_the_nine_panels_are_there():
    """Elasticity has a section for each of D36 to D44, in order."""
    rows = [panel["title"] for panel in documents()["elasticity"]["panels"] if panel["type"] == "row"]

    assert [title.split()[0] for title in rows] == [f"D{number}" for number in range(36, 45)]


def test_provisioning_fits():
    """Grafana is given the data source that the dashboards choose first, and the folder that they are mounted at."""
    [source] = yaml.safe_load((PROVISIONING / "datasources" / "prometheus.yaml").read_text())["datasources"]
    [provider] = yaml.safe_load((PROVISIONING / "dashboards" / "loadproof.yaml").read_text())["providers"]
    for document in documents().values():
        [variable] = [one for one in document["templating"]["list"] if one["name"] == "datasource"]
        assert variable["current"]["value"] == source["uid"] == source["name"]
    assert source["type"] == "prometheus"
    assert provider["type"] == "file"
    assert Path(provider["options"]["path"]).is_absolute()


@pytest.mark.long
def test_grafanas_own_types_take_them(tmp_path):
    """TypeScript finds nothing that the types of Grafana do not know, and would find it."""
    text = grafana_types.typescript()
    said = grafana_types.check(tmp_path, text)
    damaged = text.replace('"reduceOptions"', '"reduceOption"', 1).replace('"dashed"', '"dached"', 1)

    assert said == ""
    said = grafana_types.check(tmp_path, damaged)
    assert "reduceOption" in said
    assert "dached" in said
