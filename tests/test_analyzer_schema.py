"""docs/results.schema.json describes every results.json, and leaves no key of it undescribed."""

import copy
import json
from dataclasses import replace
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator
from made_runs import make_requests, make_run
from reporting import HOSTILE, REPORTS, compared

from analyzer import results_json
from analyzer.report import analyse

ROOT = Path(__file__).parent.parent
SCHEMA = json.loads((ROOT / "docs" / "results.schema.json").read_text(encoding="utf-8"))
GOLDENS = sorted((ROOT / "tests" / "golden").glob("*/results.json"))


def closed(schema):
    """The same schema, in which no object may have a key that is not described."""
    made = copy.deepcopy(schema)
    waiting = [made]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            if "properties" in one:
                one.setdefault("additionalProperties", False)
            waiting += one.values()
        elif isinstance(one, list):
            waiting += one
    return made


CLOSED = Draft202012Validator(closed(SCHEMA))


def faults(document):
    return [
        f"{'/'.join(map(str, error.path))}: {error.message[:200]}" for error in CLOSED.iter_errors(document)
    ]


def test_the_schema_is_one():
    """The file is a JSON Schema of draft 2020-12, of the version that the renderer writes."""
    Draft202012Validator.check_schema(SCHEMA)

    assert SCHEMA["properties"]["schema_version"]["const"] == results_json.SCHEMA_VERSION


@pytest.mark.parametrize("golden", GOLDENS, ids=lambda path: path.parent.name)
def test_every_golden_results_json_is_described(golden):
    """Each golden file is valid, and has no key that the schema does not describe."""
    assert faults(json.loads(golden.read_text(encoding="utf-8"))) == []


def test_a_huge_report_and_a_real_folder_are_described(tmp_path):
    """So are the report of 1,000 endpoints and one that was analysed from journals."""
    assert faults(results_json.document(REPORTS["huge"]())) == []
    beside = replace(REPORTS["aborted"](), comparison=compared(HOSTILE))
    assert faults(results_json.document(beside)) == []
    run = make_run(tmp_path / "run", make_requests(fail_from=25))
    assert faults(json.loads(results_json.render(analyse(run)))) == []


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("verdict",), "OK"),
        (("totals", "requests"), -1),
        (("totals", "rate_per_s"), "12/s"),
        (("rules", 0, "confidence"), [1.0]),
        (("schema_version",), 2),
    ],
)
def test_the_schema_refuses_what_is_no_result(path, value):
    """A wrong word, a negative count, a number with its unit, half an interval or another version is refused."""
    document = results_json.document(REPORTS["fail"]())
    place = document
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value

    assert faults(document) != []
