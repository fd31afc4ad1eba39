"""What Prometheus and Alertmanager are given: their own tools read it, and every alert fires when it must, and only then."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
import yaml

from monitoring.metrics import BY_NAME, Kind

ROOT = Path(__file__).parent.parent
MONITORING = ROOT / "monitoring"
ALERT_TESTS = ROOT / "tests" / "promtool" / "alerts.yml"
OWN = re.compile(r"(?<![\w:])loadproof_\w+")


def rules(name):
    document = yaml.safe_load((MONITORING / "rules" / f"{name}.yml").read_text())
    return [rule for group in document["groups"] for rule in group["rules"]]


@pytest.mark.parametrize(
    "command",
    [
        ("promtool", "check", "config", "prometheus.yml"),
        ("promtool", "check", "rules", "rules/recording.yml", "rules/alerts.yml"),
        ("amtool", "check-config", "alertmanager.yml"),
        ("promtool", "test", "rules", str(ALERT_TESTS)),
    ],
    ids=lambda command: "-".join(command[:3]),
)
def test_their_own_tools_agree(command):
    """Configuration, rules and the tests of the rules: the tools of Prometheus find nothing wrong."""
    done = subprocess.run(command, cwd=MONITORING, capture_output=True, check=False, text=True)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "FAILED" not in done.stdout


def test_every_alert_is_tested_both_ways():
    """Each alert has a moment at which it fires, and one at which it does not."""
    moments = [
        (moment["alertname"], bool(moment["exp_alerts"]))
        for test in yaml.safe_load(ALERT_TESTS.read_text())["tests"]
        for moment in test.get("alert_rule_test", ())
    ]

    assert {name for name, _ in moments} == {rule["alert"] for rule in rules("alerts")}
    for rule in rules("alerts"):
        assert {fires for name, fires in moments if name == rule["alert"]} == {True, False}, rule["alert"]


def test_rules_ask_for_what_the_exporter_serves():
    """Every metric of ours that a rule names stands in the exporter's table."""
    served = {
        name + suffix
        for name, metric in BY_NAME.items()
        for suffix in (("_bucket", "_count", "_sum") if metric.kind is Kind.HISTOGRAM else ("",))
    }
    recorded = "\n".join(rule["record"] for rule in rules("recording"))
    asked = {
        name
        for rule in rules("recording") + rules("alerts")
        for name in OWN.findall(rule["expr"])
        if name not in recorded
    }

    assert asked
    assert asked <= served


def test_every_alert_says_what_to_look_at():
    """Each has a severity of the three, a summary and a description."""
    for rule in rules("alerts"):
        assert rule["labels"]["severity"] in {"fail", "invalid", "warn"}
        assert set(rule["annotations"]) == {"summary", "description"}
