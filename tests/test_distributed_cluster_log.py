"""What a restarted master reads is what the one before it may have sent."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distributed.cluster_log import NAME, ClusterLog, read_cluster_log
from distributed.membership import Placement
from loadproof.errors import UsageError
from loadproof.plan.edits import LoadEdit

WORKERS = ("a-01", "a-02", "b-01")


@given(st.lists(st.tuples(st.sampled_from(WORKERS), st.frozensets(st.integers(0, 60))), max_size=12))
def test_a_piece_is_remembered_on_whom_it_was_placed_last(tmp_path_factory, placed):
    """Also where its worker was told to put it down meanwhile, and nobody else was given it."""
    folder = tmp_path_factory.mktemp("run")
    log = ClusterLog(folder)
    log.began(17)
    holders, revisions = {}, {}
    for revision, (worker, pieces) in enumerate(placed, start=1):
        for _ in range(2):
            log.placing(Placement(worker, revision, pieces))
        holders.update(dict.fromkeys(pieces, worker))
        revisions[worker] = revision
    log.close()
    remembered = read_cluster_log(folder)

    assert remembered.start_ns == 17
    assert remembered.revisions == revisions
    for worker in WORKERS:
        assert remembered.held(worker) == {piece for piece, holder in holders.items() if holder == worker}
    assert len((folder / NAME).read_text().splitlines()) == 1 + len(placed)


def test_processes_are_remembered_with_what_became_of_them(tmp_path):
    """By worker and epoch, in order."""
    log = ClusterLog(tmp_path)
    log.admitted("a-01", 0, "life", None)
    log.began(1)
    log.lost("a-01", 0, "killed")
    log.admitted("a-01", 1, "another", 5)
    log.close()

    epochs = read_cluster_log(tmp_path).epochs
    assert [(each.worker, each.epoch, each.life, each.joined_us, each.lost) for each in epochs] == [
        ("a-01", 0, "life", None, "killed"),
        ("a-01", 1, "another", 5, None),
    ]


def test_edits_of_the_users_are_remembered(tmp_path):
    """In order: a worker may follow any of them."""
    log = ClusterLog(tmp_path)
    log.began(1)
    log.edited(LoadEdit(5_000_000, 30))
    log.edited(LoadEdit(9_000_000, 3))
    log.close()

    assert read_cluster_log(tmp_path).edits == [LoadEdit(5_000_000, 30), LoadEdit(9_000_000, 3)]


def test_half_a_last_line_was_never_sent(tmp_path):
    """The disk may hold the beginning of what a killed master was about to say."""
    log = ClusterLog(tmp_path)
    log.began(1)
    log.placing(Placement("a-01", 1, frozenset({1, 2, 3})))
    log.close()
    path = tmp_path / NAME
    path.write_text(path.read_text()[:-9])

    assert read_cluster_log(tmp_path).revisions == {}
    again = ClusterLog(tmp_path)
    again.placing(Placement("a-01", 7, frozenset({4})))
    again.close()
    assert read_cluster_log(tmp_path).revisions == {"a-01": 7}


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        (None, "there is no run to go on with"),
        ([], "had not begun"),
        ([{"began": 1, "boot": "another"}], "started anew"),
        (["{", {"began": 1, "boot": None}], "line 1 is damaged"),
    ],
)
def test_what_cannot_be_gone_on_with_is_said(tmp_path, lines, says):
    """And what to do in its place."""
    if lines is not None:
        texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
        (tmp_path / NAME).write_text("".join(f"{text}\n" for text in texts))

    with pytest.raises(UsageError, match=says):
        read_cluster_log(tmp_path)
