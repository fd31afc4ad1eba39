"""The classes of a plan: suite, locustfile and flows together, and the digest that tells their states apart."""

from dataclasses import replace

import pytest

from distributed.suite import load_suite
from loadproof.errors import UsageError
from loadproof.plan.flows import Flow, Request, RowsFile

FLOW = Flow("Browser", (Request(method="get", path="/"),), weight=2.5)


def rows(folder, text, name="rows.csv"):
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(text)
    return RowsFile(str(folder / name), ("user",))


def test_flows_stand_beside_the_classes_of_a_suite():
    """All have their weights and checks; a flow has no right to a class's name."""
    suite = load_suite("governance", None, [FLOW])

    assert {"Browser", "MultiTenantUser"} < set(suite.classes)
    assert suite.weights["Browser"] == 2.5
    assert suite.declared("checks")["Browser"] == ()
    with pytest.raises(UsageError, match="MultiTenantUser already"):
        load_suite("governance", None, [replace(FLOW, name="MultiTenantUser")])


def test_a_plan_may_have_flows_only():
    """Then they are all there is."""
    assert set(load_suite(None, None, [FLOW, replace(FLOW, name="Other")]).classes) == {"Browser", "Other"}


def test_the_digest_covers_flows_and_rows(tmp_path):
    """It differs where a step, a name, a row or the suite differs, and not where the rows stand elsewhere."""
    one = replace(FLOW, rows=rows(tmp_path / "a", "user\nada\n"))
    same = replace(FLOW, rows=rows(tmp_path / "b", "user\nada\n"))
    digests = [
        load_suite(suite, None, flows).sha256
        for suite, flows in [
            (None, []),
            (None, [FLOW]),
            ("governance", []),
            ("governance", [FLOW]),
            (None, [replace(FLOW, name="Other")]),
            (None, [replace(FLOW, steps=(Request(method="get", path="/a"),))]),
            (None, [one]),
            (None, [replace(FLOW, rows=rows(tmp_path / "c", "user\nbob\n"))]),
            (None, [FLOW, replace(FLOW, name="Other")]),
        ]
    ]

    assert len(set(digests)) == len(digests)
    assert load_suite(None, None, [one]).sha256 == load_suite(None, None, [same]).sha256


@pytest.mark.parametrize(
    ("text", "words"),
    [("user\nada,x\n", "2 cells"), ("name\nada\n", "row 1 has no user"), ("user\n", "no rows")],
)
def test_bad_rows_are_told(tmp_path, text, words):
    """With the file, when the classes are made."""
    with pytest.raises(UsageError, match=words):
        load_suite(None, None, [replace(FLOW, rows=rows(tmp_path, text))])
