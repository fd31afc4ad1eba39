"""Names from a run, made safe to show: they come from the target and from user code, so they are hostile.

A name is first made *visible* (nothing in it may move the cursor, turn the writing direction or end a line),
then cut where space is short, then escaped for its medium.
"""

from __future__ import annotations

import re
from typing import Final

DISPLAY_LIMIT: Final = 160
"""Characters of a name that a report shows."""

_INVISIBLE: Final = re.compile(
    "[\x00-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff0-\ufffb\ufffe\uffff"
    "\ud800-\udfff\U000e0000-\U000e0fff]"
)
"""Controls, direction marks, line separators, unpaired surrogates, tags and noncharacters.

They are fixed ranges: the categories of `unicodedata` change with Python's version, and a report must not.
XML 1.0 forbids a part of these.
"""

_FORMULA: Final = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""What makes a spreadsheet take a cell for a formula (OWASP, CSV Injection), with the full-width forms."""

_MARKDOWN: Final = re.compile(
    r"[\\`*\[\]|~$]|<(?=[A-Za-z/!?])|&(?=[A-Za-z#])"
    r"|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])|^[-+#>=]|^\d{1,9}[.)]"
)
"""Only what means something where it stands: an underscore inside a word or a minus inside a line does not."""


def visible(text: str) -> str:
    """The text on one line; an invisible character is written as its escape in Python's notation."""
    return _INVISIBLE.sub(_escape, text)


def shown(text: str, limit: int = DISPLAY_LIMIT) -> str:
    """The text made visible and cut to `limit` characters, the last one an ellipsis."""
    # Cut first: a name may hold megabytes, and no escape makes it shorter.
    made = visible(text[: limit + 1])
    return made if len(made) <= limit else made[: limit - 1] + "…"


def csv_cell(text: str) -> str:
    """The whole text for a CSV cell; what a spreadsheet would run as a formula begins with an apostrophe."""
    made = visible(text)
    return f"'{made}" if made.lstrip().startswith(_FORMULA) else made


def markdown_code(text: str, limit: int = DISPLAY_LIMIT) -> str:
    """A name as a code span that is safe inside a table: there nothing is markup, a mention or a link.

    The fence is longer than any run of backticks within (CommonMark 6.1); the bar is escaped as GFM asks.
    """
    made = shown(text, limit)
    if not made.strip():
        return "` `"
    fence = "`" * (max((len(run) for run in re.findall("`+", made)), default=0) + 1)
    pad = " " if made[0] in " `" or made[-1] in " `" else ""
    body = made.replace("|", "\\|")
    return f"{fence}{pad}{body}{pad}{fence}"


def markdown_text(text: str, limit: int = 4 * DISPLAY_LIMIT) -> str:
    """A sentence with names in it as plain Markdown text: no markup, no HTML, no mention."""
    # Markdown drops a few spaces before a line, and would take more of them for a block of code.
    escaped = _MARKDOWN.sub(lambda mark: f"{mark[0][:-1]}\\{mark[0][-1]}", shown(text, limit).lstrip(" "))
    return escaped.replace("@", "@\u2060")


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    short = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}.get(match[0])
    if short is not None:
        return short
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
