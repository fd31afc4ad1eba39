"""No name leaves the text that it stands in."""

import csv
import io
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from reporting import HOSTILE

from analyzer.escape import DISPLAY_LIMIT, csv_cell, markdown_code, markdown_text, shown, visible

TEXTS = st.one_of(
    st.text(st.characters(), max_size=60),
    st.sampled_from(HOSTILE),
    st.text("`|*_<>[]()!&\\@#+-~$x \n", max_size=30),
)
MARKDOWN = MarkdownIt("commonmark").enable("table")


def leaves(token):
    return [
        leaf for child in token.children or [] for leaf in ([child] if not child.children else leaves(child))
    ]


@given(TEXTS)
def test_visible_text_is_one_line_that_cannot_steer_its_reader(text):
    """After `visible` no character breaks a line, moves a cursor, turns direction or is unfit for UTF-8 and XML."""
    made = visible(text)

    assert made.splitlines() in ([], [made])
    assert made.encode().decode() == made
    assert not {"Cc", "Cs", "Zl", "Zp"} & {unicodedata.category(character) for character in made}
    assert not {"RLO", "LRO", "RLE", "LRE", "RLI", "LRI", "FSI", "PDF", "PDI"} & {
        unicodedata.bidirectional(character) for character in made
    }


@given(st.text(st.characters(categories=["L", "N", "P", "S"]), max_size=60))
def test_harmless_text_stays_as_it_is(text):
    """Letters, digits, punctuation and symbols of any script are shown unchanged."""
    assert visible(text) == text


@given(TEXTS, st.integers(2, 400))
def test_a_long_name_is_cut_with_an_ellipsis(text, limit):
    """What is shown never exceeds its limit, and ends in an ellipsis when something was left out."""
    made = shown(text, limit)

    assert len(made) <= limit
    assert made == visible(text) or made.endswith("…")


def test_a_name_of_megabytes_is_cut():
    """A name of ten million characters is shown like any other long name."""
    assert shown("n" * 10_000_000) == "n" * (DISPLAY_LIMIT - 1) + "…"


@given(st.lists(TEXTS, min_size=1, max_size=5))
def test_a_csv_row_reads_back_as_one_row_without_formulas(names):
    """A row of hostile names is one row with as many cells, none of which a spreadsheet would run."""
    text = io.StringIO()
    csv.writer(text).writerow([csv_cell(name) for name in names])
    rows = list(csv.reader(io.StringIO(text.getvalue())))

    assert len(text.getvalue().splitlines()) == 1
    assert [len(row) for row in rows] == [len(names)]
    for cell, name in zip(rows[0], names, strict=True):
        assert cell.removeprefix("'") == visible(name).removeprefix("'")
        assert not cell.lstrip().startswith(("=", "+", "-", "@", "＝", "＋", "－", "＠"))  # noqa: RUF001 the full-width forms


@given(TEXTS.filter(lambda text: visible(text).strip()))
def test_a_name_in_a_markdown_table_is_one_code_span(text):
    """CommonMark reads `markdown_code` in a table cell as exactly one code span with the name's own characters."""
    table = f"| a | b |\n| --- | --- |\n| {markdown_code(text)} | end |"
    cells = [token for token in MARKDOWN.parse(table) if token.type == "inline"][2:]

    assert [token.content for token in cells][1:] == ["end"]
    assert [child.type for child in cells[0].children] == ["code_inline"]
    assert cells[0].children[0].content == shown(text)


@example(" >")
@example("    x")
@example("12. x")
@given(TEXTS)
def test_a_sentence_in_markdown_is_only_text(text):
    """CommonMark finds no markup, HTML or link in `markdown_text`, and reads back the very characters."""
    tokens = MARKDOWN.parse("- x " + markdown_text(text) + "\n\n" + markdown_text(text))
    found = [leaf for token in tokens if token.type == "inline" for leaf in leaves(token)]

    assert {token.type for token in tokens} <= {
        *("bullet_list_open", "list_item_open", "paragraph_open", "inline"),
        *("paragraph_close", "list_item_close", "bullet_list_close"),
    }
    assert {leaf.type for leaf in found} <= {"text", "text_special"}
    words = "".join(leaf.content for leaf in found).replace("\u2060", "")
    assert "".join(words.split()) == "".join(("x" + shown(text, 640) * 2).split())


@pytest.mark.parametrize("name", HOSTILE)
def test_no_mention_in_markdown(name):
    """An at sign in a sentence never stands before a letter, so that nobody is notified by a name."""
    made = markdown_text(name)

    assert all(made[at + 1 :].startswith("\u2060") for at, character in enumerate(made) if character == "@")
