"""Rows: each user of a run has its own, over all workers, without a word between them."""

import json
from itertools import chain

import pytest
from hypothesis import given
from hypothesis import strategies as st
from locust.env import Environment
from locust.exception import StopUser

from loadproof.client.rows import Rows, UserRows
from loadproof.client.user import LoadUser
from loadproof.errors import UsageError


def rows(tmp_path, count, **options):
    path = tmp_path / "rows.json"
    path.write_text(json.dumps([{"id": number} for number in range(count)]))
    return Rows(path, **options)


@given(st.integers(1, 200), st.integers(1, 50))
def test_no_row_is_taken_twice_and_none_is_left(tmp_path_factory, count, slots):
    """Whatever the numbers of rows and users, taking all shares is every row exactly once."""
    source = rows(tmp_path_factory.mktemp("rows"), count)

    def share(slot):
        own = UserRows(source, slot, slots)
        return iter(own.take, None)

    taken = [row["id"] for row in chain.from_iterable(share(slot) for slot in range(slots))]

    assert sorted(taken) == list(range(count))


def test_a_share_that_is_for_reuse_starts_again(tmp_path):
    """With `reuse`, a user cycles through its own rows and never takes another's."""
    own = UserRows(rows(tmp_path, 5, reuse=True), 1, 2)

    assert [own.take()["id"] for _ in range(5)] == [1, 3, 1, 3, 1]


def test_a_user_without_a_row_ends(tmp_path):
    """More users than rows: the one too many is stopped by StopUser, it does not borrow a row."""

    class Account(LoadUser):
        host = "http://127.0.0.1"
        rows = Rows(tmp_path / "rows.json")

    rows(tmp_path, 3)
    user = Account(Environment())
    user.slot, user.slots = 3, 4

    with pytest.raises(StopUser):
        user.row()


def test_a_csv_file_gives_strings_by_column(tmp_path):
    """The first line names the columns."""
    (tmp_path / "rows.csv").write_text("name,age\nada,36\n")

    assert Rows(tmp_path / "rows.csv").all == [{"name": "ada", "age": "36"}]


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("a.csv", "", "is empty"),
        ("a.csv", "name,age\n", "no rows"),
        ("a.csv", "name,age\nada\n", "a.csv:2: has 1 cells"),
        ("a.json", "{", "no JSON"),
        ("a.json", "[1]", "list of objects"),
        ("a.json", "[]", "no rows"),
    ],
)
def test_a_bad_file_is_told_with_its_place(tmp_path, name, text, words):
    """The message names the file, the line where there is one, and what is wrong."""
    (tmp_path / name).write_text(text)

    with pytest.raises(UsageError, match=words):
        Rows(tmp_path / name).all  # noqa: B018 reading is the act


def test_a_missing_file_is_told(tmp_path):
    """The message names the file."""
    with pytest.raises(UsageError, match=r"nowhere\.csv"):
        Rows(tmp_path / "nowhere.csv").all  # noqa: B018


def test_a_relative_path_is_beside_the_scenario():
    """`Rows("x.csv")` means the folder of the file that says so, wherever the command is typed."""
    assert Rows("x.csv").path.parent.name == "tests"
