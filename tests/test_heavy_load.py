"""The categories of the heavy-load suite, each a real run of its plan, shortened.

    pytest tests/test_heavy_load.py::TestSystemRecovery -v -s -m performance

`make test` leaves them out and runs the whole plan once, for less long: `test_run_heavy_load.py`.
"""

import pytest
from heavy_loading import broken, run_plan, success, write_reports

pytestmark = [pytest.mark.performance, pytest.mark.timeout(900)]


def passed(plan, folder):
    """The results of a run that must end well."""
    code, results, run = run_plan(plan, folder)

    assert results["verdict"] in {"PASS", "WARN"}, broken(results)
    assert code == 0
    return results, run


class TestExtremeLoadStressing:
    def test_concurrent_operations(self, tmp_path):
        """With three times as many operations as there is room for, 15 or more are made and over 70 % succeed."""
        results, _ = passed("concurrent-load", tmp_path)

        assert results["by_phase"]["beyond-capacity"]["requests"] >= 15
        assert success(results, "beyond-capacity") > 0.7
        assert results["checks"]["refusal"]["failed"] == 0


class TestResourceExhaustion:
    def test_memory_pressure(self, tmp_path):
        """Over 50 % succeed while memory is taken, and it grows by less than 1 GB."""
        results, _ = passed("memory-pressure", tmp_path)
        resident = results["resources"]["target.rss"]

        assert success(results, "pressure") > 0.5
        assert resident["max"] - resident["min"] < 2**30

    def test_cpu_saturation(self, tmp_path):
        """Over 60 % succeed while every core is busy, and afterwards the service works as before."""
        results, _ = passed("cpu-saturation", tmp_path)

        assert success(results, "saturation") > 0.6
        assert success(results, "after") > 0.75


class TestBreakingPointDetection:
    def test_capacity_limits(self, tmp_path):
        """Capacity is found, and is 8 concurrent operations or more."""
        results, run = passed("capacity-limits", tmp_path)
        document, _ = write_reports(run)

        assert results["search"]["capacity"] >= 8
        assert document["component_results"]["capacity_limits"]["max_capacity"] >= 8


class TestSystemRecovery:
    def test_recovery(self, tmp_path):
        """After an overload, and a time in which every flow fails, over 75 % succeed again."""
        _, run = passed("recovery", tmp_path)
        document, _ = write_reports(run)

        assert document["component_results"]["recovery"]["success_rate"] > 0.75


class TestComprehensiveStressSuite:
    def test_complete_heavy_load_stress_suite(self, tmp_path):
        """All five components pass in one run, and both reports say so."""
        _, run = passed("heavy-load", tmp_path)
        document, text = write_reports(run)
        print(text)

        assert {one["passed"] for one in document["component_results"].values()} == {True}
        assert "Components Passed: 5/5" in text
