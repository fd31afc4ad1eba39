"""The reader of answers against damaged bytes, against itself in other pieces, and against http.client."""

import http.client
import io
import string
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mutating import CORPUS, cases

from loadproof.client import answer
from loadproof.client.answer import AnswerReader, known_head
from loadproof.errors import ConnectionLostError, MalformedAnswerError

TOKEN = st.text(string.ascii_letters + string.digits + "-_.!~", min_size=1, max_size=12)
VALUE = st.text(string.ascii_letters + string.digits + ' ,;="/()éÿ', max_size=30).map(str.strip)
FRAMING = {"content-length", "transfer-encoding", "connection", "upgrade", "keep-alive", "proxy-connection"}


def read(pieces, method="GET"):
    """What a connection that brings these pieces and then ends makes of them: an answer, or the kind of error."""
    reader = AnswerReader(method)
    try:
        for at, piece in enumerate(pieces):
            if reader.feed(piece):
                followed = reader.leftover or at + 1 < len(pieces)
                break
        else:
            reader.eof()
            followed = False
    except (MalformedAnswerError, ConnectionLostError) as error:
        return type(error)
    kept = reader.head.keep_alive and not followed
    return reader.status, reader.reason, reader.head.headers.fields, reader.body, kept, followed


def agree(data, method, pieces):
    """However the same bytes come in, and whether or not the head was met before, the result is one."""
    answer._heads.clear()
    first = read([data], method) if data else read([], method)
    assert read(pieces, method) == first, (data, method, pieces)
    answer._heads.clear()
    assert read(pieces, method) == first, (data, method, pieces)
    for guess in (0, len(data) // 2, data.find(b"\r\n\r\n") + 4):
        head = None if method == "HEAD" else known_head(data, guess)
        if head is not None:
            quick = (head.status, head.reason, head.headers.fields, data[head.size :], head.keep_alive, False)
            assert quick == first, data
    return first


@pytest.mark.parametrize(
    ("seed", "count"),
    [(1, 20_000), *(pytest.param(seed, 100_000, marks=pytest.mark.long) for seed in range(2, 12))],
)
def test_damaged_answers_are_read_the_same_in_any_pieces(seed, count):
    """No bytes crash or hang the reader, and it does not depend on where the kernel cut them."""
    found = (agree(*case) for case in cases(seed, count))

    assert {each if isinstance(each, type) else None for each in found} == {
        None,
        MalformedAnswerError,
        ConnectionLostError,
    }


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("data", CORPUS)
def test_an_answer_can_be_cut_anywhere(data, method):
    """Byte by byte, and in two at every boundary, an answer is the same as in one piece."""
    agree(data, method, [bytes([byte]) for byte in data])
    for cut in range(1, len(data)):
        agree(data, method, [data[:cut], data[cut:]])


@pytest.mark.parametrize("data", CORPUS)
def test_an_answer_cut_short_is_never_whole(data):
    """A part of an answer is lost, unless the answer ends with the connection or was whole before the cut."""
    whole = read([data])
    for cut in range(len(data) if isinstance(whole, tuple) else 0):
        found = read([data[:cut]])
        if found is not ConnectionLostError:
            status, reason, fields, body, kept, _ = found
            assert (status, reason, fields) == whole[:3]
            assert body == whole[3] or (not kept and whole[3].startswith(body))


@st.composite
def answers(draw):
    """A well-formed answer, with the ends of its parts, and the method that it answers."""
    method = draw(st.sampled_from(["GET", "POST", "HEAD"]))
    status = draw(st.integers(200, 599))
    reason = draw(st.text(string.ascii_letters + " '", max_size=12).map(str.strip))
    fields = draw(
        st.lists(st.tuples(TOKEN.filter(lambda name: name.lower() not in FRAMING), VALUE), max_size=6)
    )
    body = draw(st.binary(max_size=80))
    # http.client waits for chunks where RFC 9112, 6.3 says that there is no body.
    bodiless = status in {204, 304}
    ends = draw(st.sampled_from(["length", "close"] if bodiless else ["length", "chunks", "close"]))
    if draw(st.booleans()):
        fields.append(
            ("Connection", draw(st.sampled_from(["close", "keep-alive", "Keep-Alive", "x, close"])))
        )
    if ends == "length":
        fields.append(("Content-Length", str(len(body))))
        sent = body
    elif ends == "chunks":
        fields.append(("Transfer-Encoding", "chunked"))
        size = draw(st.integers(1, 40))
        extension = draw(st.sampled_from([b"", b";a", b';a="b"']))
        chunks = [body[at : at + size] for at in range(0, len(body), size)]
        sent = b"".join(b"%x%s\r\n%s\r\n" % (len(chunk), extension, chunk) for chunk in chunks)
        sent += b"0\r\n" + draw(st.sampled_from([b"", b"X-Trailer: yes\r\n"])) + b"\r\n"
    else:
        sent = body
    if method == "HEAD" or bodiless:
        sent = b""
    fields = draw(st.permutations(fields))
    head = f"HTTP/1.1 {status} {reason}\r\n" + "".join(f"{name}: {value}\r\n" for name, value in fields)
    return method, head.encode("latin-1") + b"\r\n" + sent


class Wire:
    """The bytes of one answer, as http.client wants to have them."""

    def __init__(self, data):
        self.data = data

    def makefile(self, mode):
        return io.BytesIO(self.data)


@given(case=answers(), random=st.randoms(use_true_random=False))
@settings(max_examples=400)
def test_a_well_formed_answer_reads_as_http_client_reads_it(case, random):
    """Status, reason, every field and the body are what the standard library finds in the same bytes."""
    method, data = case
    cuts = sorted({0, len(data), *(random.randint(0, len(data)) for _ in range(4))})
    pieces = [data[start:end] for start, end in pairwise(cuts)]
    expected = http.client.HTTPResponse(Wire(data), method=method)
    expected.begin()

    status, reason, fields, body, kept, followed = agree(data, method, pieces)

    assert (status, reason, body) == (expected.status, expected.reason, expected.read())
    assert list(fields) == expected.getheaders()
    assert not followed
    assert kept == (not expected.will_close)
