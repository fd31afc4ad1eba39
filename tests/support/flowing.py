"""Any flow that can be written in a plan."""

import string

from hypothesis import strategies as st
from planning import DURATIONS, TEXTS, WEIGHTS

from loadproof.plan.flows import (
    METHODS,
    Alternative,
    Capture,
    Expect,
    Flow,
    Loop,
    Message,
    OneOf,
    Request,
    RowsFile,
    Span,
    Think,
    WebSocket,
)
from loadproof.plan.templates import Reference, template_of

COLUMNS = ("user", "password")
CAPTURED = ("item", "token")
"""By the first step of every flow here."""

EXACT = st.text(st.characters(exclude_categories=("Cs",)), max_size=12) | st.sampled_from(
    ["", " ", "${A}", "$${", "$", "a\n b\n", "\t", "1e3", "null", "- x", "a: b", "'\"", "no"]
)
HEADER_TEXT = st.text(st.characters(exclude_categories=("Cs", "Cc", "Zl", "Zp")), max_size=12)
PATH_TEXT = st.text(string.ascii_letters + string.digits + "/?&=%$.{}-", max_size=12)
HEADER_NAMES = st.text(string.ascii_letters + string.digits + "-_", min_size=1, max_size=12)
IDENTIFIERS = st.text(string.ascii_letters + "_", min_size=1, max_size=12).map(lambda name: "_" + name)
SPANS = st.tuples(st.just(0) | DURATIONS, st.just(0) | DURATIONS).map(lambda ends: Span(*sorted(ends)))


@st.composite
def templates(draw, texts=EXACT, names=COLUMNS + CAPTURED):
    """Any template of these texts and references."""
    parts = draw(st.lists(texts | st.sampled_from(names).map(Reference), max_size=4))
    try:
        return template_of(parts)
    except ValueError:
        return template_of(part for part in parts if isinstance(part, str))


PATHS = templates(PATH_TEXT).map(lambda template: f"/{template}") | st.just("${item}")
NAMES = st.none() | templates(TEXTS).map(str.strip).filter(bool)
HEADERS = st.dictionaries(HEADER_NAMES, templates(HEADER_TEXT), max_size=2)
SCALARS = (
    st.booleans()
    | st.integers(-(10**25), 10**25)
    | st.floats(allow_nan=False, allow_infinity=False)
    | templates()
)


def holding(values):
    """Lists and mappings of these values and null."""
    values = values | st.none()
    return st.lists(values, max_size=3) | st.dictionaries(EXACT, values, max_size=3)


# No deeper, and no more nesting of steps: a plan has 20 levels.
JSON = SCALARS | holding(SCALARS | holding(SCALARS))
JSON_PATHS = st.lists(st.sampled_from(["items", "0", "a b", "ä"]), min_size=1, max_size=3).map(".".join)


def captures(sources):
    whats = {
        "json": JSON_PATHS,
        "header": HEADER_NAMES,
        "regex": st.sampled_from(['name="csrf" value="([^"]+)"', r"\d+: (\$\{\w+)", "${a}"]),
    }
    one = st.sampled_from(sources).flatmap(lambda source: st.tuples(st.just(source), whats[source]))
    return st.dictionaries(IDENTIFIERS, one, max_size=2).map(
        lambda found: tuple(Capture(name, source, what) for name, (source, what) in found.items())
    )


@st.composite
def requests(draw):
    body = draw(st.sampled_from(["json", "form", "body", None]))
    bodies = {"json": JSON, "form": st.dictionaries(EXACT, templates(), max_size=2), "body": templates()}
    expect = Expect(
        status=tuple(draw(st.lists(st.integers(100, 599), max_size=2))),
        text=draw(st.none() | templates()),
        json=draw(st.dictionaries(JSON_PATHS, JSON | st.none(), max_size=2)),
        headers=draw(HEADERS),
    )
    return Request(
        method=draw(st.sampled_from(METHODS)),
        path=draw(PATHS),
        name=draw(NAMES),
        headers=draw(HEADERS),
        params=draw(st.dictionaries(EXACT, templates(), max_size=2)),
        expect=expect,
        check=draw(st.none() | TEXTS) if expect.is_check else None,
        capture=draw(captures(("json", "header", "regex"))),
        **({} if body is None else {body: draw(bodies[body])}),
    )


@st.composite
def messages(draw):
    if draw(st.booleans()):
        return Message(send=draw(templates()))
    return Message(
        send=draw(st.none() | templates()),
        receive=draw(templates()),
        check=draw(TEXTS),
        capture=draw(captures(("json", "regex"))),
    )


def nested(steps):
    """What holds steps, around these."""
    lists = st.lists(steps, min_size=1, max_size=2).map(tuple)
    alternatives = st.lists(st.builds(Alternative, WEIGHTS.filter(bool), lists), min_size=1, max_size=2)
    return (
        steps | st.builds(Loop, st.integers(1, 1_000_000), lists) | st.builds(OneOf, alternatives.map(tuple))
    )


PLAIN = requests() | st.builds(Think, SPANS)
SOCKETS = st.builds(
    WebSocket, PATHS, st.lists(nested(PLAIN | messages()), min_size=1, max_size=3).map(tuple), NAMES
)
FIRST = Request(
    method="get", path="/", capture=tuple(Capture(name, "header", f"X-{name}") for name in CAPTURED)
)


@st.composite
def flows(draw):
    steps = draw(st.lists(nested(PLAIN | SOCKETS), max_size=4))
    return Flow(
        name=draw(IDENTIFIERS),
        steps=(FIRST, *steps),
        weight=draw(WEIGHTS),
        wait=draw(SPANS),
        headers=draw(st.dictionaries(HEADER_NAMES, templates(HEADER_TEXT, COLUMNS), max_size=2)),
        rows=RowsFile("/rows/accounts.csv", COLUMNS, reuse=draw(st.booleans())),
    )
