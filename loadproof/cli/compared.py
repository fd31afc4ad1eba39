"""How a comparison is shown in the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich.text import Text

from analyzer.escape import shown
from analyzer.wording import change_text, value_text
from loadproof.cli.tables import table
from loadproof.units import ABSENT
from loadproof.verdict.compared import Word

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.console import Console

    from loadproof.verdict.compared import Compared, Comparison

_STYLES: Final = {
    Word.SAME: "green",
    Word.BETTER: "bold green",
    Word.WORSE: "bold red",
    Word.CANNOT_TELL: "magenta",
}


def print_comparison(found: Comparison, console: Console, *, quiet: bool = False) -> None:
    """The word in a sentence, then a row a rule and a row a statistic of each endpoint."""
    console.print(Text(shown(found.text, 600), style=_STYLES[found.word]), soft_wrap=True)
    if quiet:
        return
    console.print(Text(f"  beside {shown(', '.join(found.baselines), 300)}", style="dim"), soft_wrap=True)
    for sentence in (*found.unlike, *found.notes):
        console.print(Text(f"  {shown(sentence, 300)}", style="dim"), soft_wrap=True)
    texts = ("", "WHERE", "WHAT")
    rows = table((*texts, "BASELINE", "RUN", "CHANGE", "95 % INTERVAL", "NOISE"), left=texts)
    for where, row in _rows(found):
        rows.add_row(*_cells(where, row))
    console.print(rows)


def _rows(found: Comparison) -> Iterable[tuple[str, Compared]]:
    """Every rule; of an endpoint what is worse or better and its median, `--json` has the rest."""
    yield from (("rule", row) for row in found.rules)
    for endpoint in found.endpoints:
        for at, row in enumerate(endpoint.rows):
            if at == 0 or row.word in {Word.WORSE, Word.BETTER}:
                yield shown(endpoint.name, 40), row


def _cells(where: str, row: Compared) -> tuple[Text | str, ...]:
    ends = [change_text(row.unit, end) for end in row.interval or ()]
    return (
        Text(row.word, style=_STYLES[row.word]),
        Text(where),
        Text(shown(row.what, 40)),
        value_text(row.unit, row.baseline),
        value_text(row.unit, row.value),
        change_text(row.unit, row.change),
        " to ".join(ends) if ends else ABSENT,
        "± " + change_text(row.unit, row.noise).lstrip("+"),
    )
