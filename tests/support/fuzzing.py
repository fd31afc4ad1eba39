"""Input of every kind for the target's endpoints, and what is true of each answer."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from hypothesis import strategies as st
from serving import HASH

if TYPE_CHECKING:
    import httpx

JSON = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        st.text(st.characters(), max_size=8),
        st.sampled_from([2**53, -(2**63), 10**400, 1e308, "\ud800", "\0", "x" * 300]),
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@st.composite
def damaged(draw, document):
    """The document with one value anywhere in it exchanged for something else, or one key more or less."""
    if isinstance(document, (dict, list)) and document and draw(st.integers(0, 3)):
        key = draw(st.sampled_from(sorted(document) if isinstance(document, dict) else range(len(document))))
        copy = document.copy()
        if isinstance(document, dict) and draw(st.integers(0, 5)) == 0:
            del copy[key]
        else:
            copy[key] = draw(damaged(document[key]))
        return copy
    return draw(JSON)


def bodies(*documents) -> st.SearchStrategy[bytes]:
    """The documents, damaged ones, other JSON, and bytes that are none."""
    return st.one_of(
        st.sampled_from(documents).flatmap(damaged).map(lambda each: json.dumps(each).encode()),
        JSON.map(lambda each: json.dumps(each).encode()),
        st.binary(max_size=40),
        st.sampled_from([json.dumps(document).encode() for document in documents]),
    )


def is_sound(answer: httpx.Response, method: str) -> None:
    """Below 500, with the hash, and an error has the form of all errors."""
    assert answer.status_code < 500, answer.text
    assert answer.headers["X-Constitutional-Hash"] == HASH
    if answer.status_code >= 400 and method != "HEAD":
        assert set(answer.json()) == {"error", "constitutional_hash"}
