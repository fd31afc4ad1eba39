"""The shared counters of one process."""

from __future__ import annotations

import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from target.tally import KEY_BYTES, Tally, TallyFullError

KEYS = st.binary(min_size=1, max_size=3)


@settings(max_examples=60, deadline=None)
@given(steps=st.lists(st.tuples(st.sampled_from(["add", "release"]), KEYS, st.integers(0, 2**40))))
def test_is_a_dictionary_of_counts(tmp_path_factory, steps):
    """Whatever is added and released, another mapping of the file sees what a dictionary would hold."""
    path = tmp_path_factory.mktemp("tally") / "file"
    tally, seen_by_another = Tally(path, 64), Tally(path, 64)
    model: dict[bytes, int] = {}
    for step, key, amount in steps:
        if step == "release":
            if key in model:
                tally.release(key)
                del model[key]
        elif key in model or len(model) < 64:
            tally.add(tally.slot(key), amount)
            model[key] = model.get(key, 0) + amount

    assert dict(seen_by_another.items()) == model


def test_a_full_tally_refuses_until_a_record_is_released(tmp_path):
    """A key more than there are records is refused; after a release it finds room and starts at 0."""
    tally = Tally(tmp_path / "file", 2)
    tally.add(tally.slot(b"one"), 7)
    tally.slot(b"two")
    with pytest.raises(TallyFullError):
        tally.slot(b"three")
    tally.release(b"one")
    tally.add(tally.slot(b"three"))

    assert dict(tally.items()) == {b"two": 0, b"three": 1}


@pytest.mark.parametrize("length", [0, KEY_BYTES + 1])
def test_a_key_that_does_not_fit_is_refused(tmp_path, length):
    """A key is 1 to KEY_BYTES bytes long."""
    with pytest.raises(ValueError, match=f"1 to {KEY_BYTES} bytes"):
        Tally(tmp_path / "file", 2).slot(b"k" * length)


def test_the_longest_key_comes_back_whole(tmp_path):
    """A key of KEY_BYTES bytes reaches neither its count nor its neighbour's."""
    tally = Tally(tmp_path / "file", 2)
    tally.add(tally.slot(b"\xff" * KEY_BYTES), 2**63)
    tally.add(tally.slot(b"next"), 1)

    assert dict(tally.items()) == {b"\xff" * KEY_BYTES: 2**63, b"next": 1}


def test_the_writer_is_known_once_it_says_so(tmp_path):
    """A fresh file has no owner; after `own` every mapping tells the process that writes."""
    tally, seen_by_another = Tally(tmp_path / "file", 1), Tally(tmp_path / "file", 1)
    assert seen_by_another.owner is None
    tally.own()

    assert seen_by_another.owner == os.getpid()
