"""Servers that break the protocol: the right result or one failure of the right kind, never a hang."""

import gzip

import pytest
from odd import BODY, DRAIN, HEAD, HOLD, OK, REQUEST, RESET, SHUT, dribble, flood, pause, send, take

from loadproof.errors import ConnectError, ConnectionLostError, MalformedAnswerError

pytest_plugins = ("conforming",)
pytestmark = pytest.mark.timeout(60)

HELLO = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def with_field(field: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\n" + field + b"\r\nContent-Length: 2\r\n\r\nok"


def framed(*fields: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\n" + b"".join(field + b"\r\n" for field in fields) + b"\r\nok"


MALFORMED = {
    "another protocol": b"SSH-2.0-OpenSSH_9.2p1\r\n\r\n",
    "no status line": b"Content-Length: 2\r\n\r\nok",
    "no version": b"200 OK\r\nContent-Length: 2\r\n\r\nok",
    "a version of words": b"HTTP/x.y 200 OK\r\nContent-Length: 2\r\n\r\nok",
    "lower case": b"http/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    "a status of words": b"HTTP/1.1 fine OK\r\nContent-Length: 2\r\n\r\nok",
    "a status of two digits": b"HTTP/1.1 20 OK\r\nContent-Length: 2\r\n\r\nok",
    "a status of four digits": b"HTTP/1.1 2000 OK\r\nContent-Length: 2\r\n\r\nok",
    "a status of zero": b"HTTP/1.1 000 OK\r\nContent-Length: 2\r\n\r\nok",
    "a negative status": b"HTTP/1.1 -200 OK\r\nContent-Length: 2\r\n\r\nok",
    "a NUL in the status line": b"HTTP/1.1 200 O\0K\r\nContent-Length: 2\r\n\r\nok",
    "a field without a colon": with_field(b"X-Broken"),
    "a field without a name": with_field(b": value"),
    "a blank before the colon": with_field(b"X-Broken : value"),
    "a blank in the name": with_field(b"X Broken: value"),
    "a NUL in the name": with_field(b"X-\0: value"),
    "a NUL in the value": with_field(b"X-Broken: a\0b"),
    "a carriage return in the value": with_field(b"X-Broken: a\rb"),
    "two lengths": framed(b"Content-Length: 2", b"Content-Length: 3"),
    "a negative length": framed(b"Content-Length: -1"),
    "a signed length": framed(b"Content-Length: +2"),
    "a hexadecimal length": framed(b"Content-Length: 0x2"),
    "a length of words": framed(b"Content-Length: two"),
    "an empty length": framed(b"Content-Length:"),
    "a length beyond all": framed(b"Content-Length: 99999999999999999999999999"),
    "a length and chunks": framed(b"Content-Length: 2", b"Transfer-Encoding: chunked"),
    "chunks and a length": framed(b"Transfer-Encoding: chunked", b"Content-Length: 2"),
    "gzip as a transfer coding": framed(b"Transfer-Encoding: gzip, chunked"),
    "chunks inside something else": framed(b"Transfer-Encoding: chunked, gzip"),
    "an unheard-of transfer coding": framed(b"Transfer-Encoding: xchunked"),
    "chunks twice": framed(b"Transfer-Encoding: chunked, chunked"),
    "a field of 1 MB": with_field(b"X-Long: " + b"x" * 1_000_000),
    "a name of 1 MB": with_field(b"x" * 1_000_000 + b": value"),
    "a reason of 1 MB": b"HTTP/1.1 200 " + b"x" * 1_000_000 + b"\r\nContent-Length: 2\r\n\r\nok",
    "100,000 fields": with_field(b"\r\n".join(b"X-%d: %d" % (each, each) for each in range(100_000))),
    "a head without an end": b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200_000,
    "a chunk beyond all": CHUNKED + b"fffffffffffffffff\r\nx",
    "a chunk size of words": CHUNKED + b"size\r\nhello\r\n0\r\n\r\n",
    "a negative chunk": CHUNKED + b"-5\r\nhello\r\n0\r\n\r\n",
    "a chunk without a size": CHUNKED + b"\r\nhello\r\n0\r\n\r\n",
    "a chunk longer than it says": CHUNKED + b"3\r\nhello\r\n0\r\n\r\n",
    "a chunk shorter than it says": CHUNKED + b"6\r\nhello\r\n0\r\n\r\n",
    "a body without chunks": CHUNKED + b"hello, this is no chunk",
}
"""Answers that are none, though all bytes of them come."""


@pytest.mark.parametrize("how", [DRAIN, SHUT], ids=["open", "closed"])
@pytest.mark.parametrize("case", MALFORMED)
def test_a_malformed_answer_is_one_failure(clients, odd, case, how):
    """Said at once, whether or not the server closes: nothing is waited for that could not come anyway."""
    played = odd.play([REQUEST, send(MALFORMED[case]), how, DRAIN])

    answer = clients(played.url).get("/")

    assert (answer.status_code, answer.content, type(answer.error)) == (0, None, MalformedAnswerError)
    assert 0 < len(str(answer.error)) < 120
    books = clients.books()
    assert (books.started, books.failed, books.errors) == (1, 1, [str(answer.error)])
    assert played.connections() == 1


CODED = {
    "gzip": b"no gzip at all",
    "deflate": b"\xff\xff\xff no deflate",
    "br": b"\xff\xff no brotli",
    "zstd": b"no zstandard",
    "gzip, gzip": gzip.compress(b"once only"),
}


@pytest.mark.parametrize("coding", CODED)
def test_a_body_that_is_not_coded_as_it_says_is_one_failure(clients, odd, coding):
    """The exchange was answered; the scenario gets no body that it could take for good."""
    body = CODED[coding]
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: {coding}\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    played = odd.play([REQUEST, send(head, body), REQUEST, send(OK)])
    client = clients(played.url)

    answer = client.get("/")

    assert isinstance(answer.error, MalformedAnswerError)
    assert not answer.ok
    assert client.get("/").content == b"ok"
    books = clients.books()
    assert (books.failed, books.ok) == (1, 1)


@pytest.mark.parametrize("cut", [1, 10, 18, -9, -8, -1])
def test_a_gzip_body_cut_short_by_its_sender_is_one_failure(clients, odd, cut):
    """The length is right and the coding is not whole: a part of the text is never taken for all of it."""
    body = gzip.compress(b"hello " * 1000, mtime=0)[:cut]
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(body)
    played = odd.play([REQUEST, send(head, body)])

    answer = clients(played.url).get("/")

    assert isinstance(answer.error, MalformedAnswerError)
    assert clients.books().failed == 1


UNUSUAL = {
    "a folded field": (with_field(b"X-Folded: a\r\n  b"), b"ok"),
    "an empty value": (with_field(b"X-Empty:"), b"ok"),
    "no reason": (b"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok", b"ok"),
    "a reason in Latin-1": (b"HTTP/1.1 200 d\xe9j\xe0 vu\r\nContent-Length: 2\r\n\r\nok", b"ok"),
    "a status of nobody's": (b"HTTP/1.1 299 Own\r\nContent-Length: 2\r\n\r\nok", b"ok"),
    "a high byte in a value": (with_field(b"X-High: \xff\xfe"), b"ok"),
    "leading zeros": (b"HTTP/1.1 200 OK\r\nContent-Length: 0002\r\n\r\nok", b"ok"),
    "1,000 fields": (with_field(b"\r\n".join(b"X-%d: %d" % (each, each) for each in range(1_000))), b"ok"),
    "10,000 fields": (with_field(b"\r\n".join(b"X-%d: %d" % (each, each) for each in range(10_000))), b"ok"),
    "a field of 60 KB": (with_field(b"X-Long: " + b"x" * 60_000), b"ok"),
    "chunks with extensions": (CHUNKED + b'2;a;b="c;d"\r\nok\r\n0;last\r\n\r\n', b"ok"),
    "chunks with trailers": (CHUNKED + b"2\r\nok\r\n0\r\nX-Trailer: a\r\nX-Other: b\r\n\r\n", b"ok"),
    "chunk sizes with zeros": (CHUNKED + b"0002\r\nok\r\n000\r\n\r\n", b"ok"),
    "chunks in capitals": (
        b"HTTP/1.1 200 OK\r\nTRANSFER-ENCODING: Chunked\r\n\r\nA\r\n0123456789\r\n0\r\n\r\n",
        b"0123456789",
    ),
    "100 and then the answer": (b"HTTP/1.1 100 Continue\r\n\r\n" + HELLO, b"hello"),
    "103 and then the answer": (b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n" + HELLO, b"hello"),
    "three interim answers": (
        b"HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 E\r\nLink: </b>\r\n\r\nHTTP/1.1 100 C\r\n\r\n" + HELLO,
        b"hello",
    ),
    "204 with a length": (b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", b""),
    "304 with a length": (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", b""),
}
"""Answers that are rare and right, or that a client has to accept."""


@pytest.mark.parametrize("how", [send, dribble], ids=["whole", "dribbled"])
@pytest.mark.parametrize("case", UNUSUAL)
def test_an_unusual_answer_is_an_answer(clients, odd, case, how):
    """In one piece or a byte at a time, twice on one connection: the second is read as the first."""
    data, body = UNUSUAL[case]
    steps = [REQUEST, how(data[:1000]), send(data[1000:])]
    played = odd.play([*steps, *steps, DRAIN])
    client = clients(played.url)

    answers = [client.get("/"), client.get("/")]

    assert [(each.content, each.error) for each in answers] == [(body, None)] * 2
    assert played.connections() == 1
    assert clients.books().ok == 2


def test_a_folded_field_is_one_value(clients, odd):
    """RFC 9112, 5.2: the fold is replaced by blanks."""
    played = odd.play([REQUEST, send(with_field(b"X-Folded: a\r\n  b"))])

    assert clients(played.url).get("/").headers["x-folded"].split() == ["a", "b"]


def test_headers_are_looked_up_in_any_case_and_joined(clients, odd):
    """A name that came twice has both values."""
    played = odd.play([REQUEST, send(with_field(b"X-Two: a\r\nx-two: b"))])
    headers = clients(played.url).get("/").headers

    assert headers["x-TWO"] == "a, b"
    assert headers.get("absent") is None
    assert "X-two" in headers


UNTIL_CLOSE = {
    "HTTP/1.0": b"HTTP/1.0 200 OK\r\n\r\nall of it",
    "HTTP/1.1": b"HTTP/1.1 200 OK\r\n\r\nall of it",
    "said": b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nall of it",
    "identity": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\nall of it",
}


@pytest.mark.parametrize("case", UNTIL_CLOSE)
def test_a_body_without_a_length_ends_with_its_connection(clients, odd, case):
    """All of it is the body, and the next request goes over a new connection."""
    played = odd.play([REQUEST, dribble(UNTIL_CLOSE[case]), SHUT, DRAIN])
    client = clients(played.url)

    assert [client.get("/").content for _ in range(2)] == [b"all of it"] * 2
    assert played.connections() == 2


LOST = {
    "after the request": [REQUEST],
    "in the status line": [REQUEST, send(HELLO[:7])],
    "in the head": [REQUEST, send(HELLO[:30])],
    "before the body": [REQUEST, send(HELLO[:-5])],
    "in the body": [REQUEST, send(HELLO[:-1])],
    "after an interim answer": [REQUEST, send(b"HTTP/1.1 100 Continue\r\n\r\n")],
    "before a chunk": [REQUEST, send(CHUNKED)],
    "in a chunk": [REQUEST, send(CHUNKED, b"5\r\nhel")],
    "after a chunk": [REQUEST, send(CHUNKED, b"5\r\nhello\r\n")],
    "before the last line end": [REQUEST, send(CHUNKED, b"5\r\nhello\r\n0\r\n")],
    "in a trailer": [REQUEST, send(CHUNKED, b"0\r\nX-Tra")],
    "far into a large body": [
        REQUEST, send(b"HTTP/1.1 200 OK\r\nContent-Length: 9000000\r\n\r\n", b"x" * 5_000_000),
    ],
}  # fmt: skip


@pytest.mark.parametrize("how", ["close", "reset"])
@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("case", LOST)
def test_a_connection_that_ends_too_soon_is_one_failure(clients, odd, case, method, how):
    """By a close or a reset, at every stage: lost, unanswered, and not sent again on a fresh connection."""
    played = odd.play([*LOST[case], *([RESET] if how == "reset" else [])])

    answer = clients(played.url).request(method, "/", data=b"x" if method == "POST" else None)

    assert (answer.status_code, answer.content, type(answer.error)) == (0, None, ConnectionLostError)
    books = clients.books()
    assert (books.started, books.failed, books.errors) == (1, 1, [str(answer.error)])
    assert (books.answered, books.unanswered, books.unconnected) == (0, 1, 0)
    assert played.connections() == 1


@pytest.mark.parametrize("end", [[], [RESET]], ids=["close", "reset"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_connection_that_ends_at_once_is_one_failure(clients, odd, method, end):
    """Before the request is read: a connection that was lost, or none when the reset comes before we look at it."""
    played = odd.play(end)

    answer = clients(played.url).request(method, "/", data=b"x" if method == "POST" else None)

    assert isinstance(answer.error, ConnectionLostError | ConnectError)
    books = clients.books()
    assert (books.failed, books.answered, books.unanswered + books.unconnected) == (1, 0, 1)
    assert played.connections() == 1


def test_a_body_without_a_length_that_is_reset_is_lost(clients, odd):
    """Only an orderly end is the body's end."""
    played = odd.play([REQUEST, send(b"HTTP/1.1 200 OK\r\n\r\nsome"), RESET])

    assert isinstance(clients(played.url).get("/").error, ConnectionLostError)


def test_bytes_after_an_answer_do_not_spoil_it(clients, odd):
    """Too many bytes: the answer is right, and the connection is not used again."""
    played = odd.play([REQUEST, send(OK, b" and more"), DRAIN], [REQUEST, send(HELLO)])
    client = clients(played.url)

    assert [client.get("/").content for _ in range(2)] == [b"ok", b"hello"]
    assert played.connections() == 2
    assert clients.books().ok == 2


@pytest.mark.parametrize("status", [b"204 No Content", b"304 Not Modified"])
def test_a_body_where_none_may_be_is_not_the_next_answer(clients, odd, status):
    """204 and 304 have no body: bytes after them belong to nobody."""
    played = odd.play(
        [REQUEST, send(b"HTTP/1.1 ", status, b"\r\nContent-Length: 5\r\n\r\nhello"), DRAIN],
        [REQUEST, send(OK)],
    )
    client = clients(played.url)
    first = client.get("/")

    assert (first.status_code, first.content) == (int(status[:3]), b"")
    assert client.get("/").content == b"ok"


def test_a_body_after_head_is_not_the_next_answer(clients, odd):
    """A server that sends a body to HEAD is not believed on that connection again."""
    played = odd.play([REQUEST, send(HELLO), DRAIN], [REQUEST, send(OK)])
    client = clients(played.url)

    assert client.head("/").content == b""
    assert client.get("/").content == b"ok"
    assert played.connections() == 2


def test_the_same_head_answers_head_and_get_apart(clients, odd):
    """A head that was met before has no body after HEAD, and has one after GET."""
    played = odd.play([REQUEST, send(OK), REQUEST, send(OK[:-2]), REQUEST, send(OK), REQUEST, send(OK[:-2])])
    client = clients(played.url)

    found = [client.request(method, "/").content for method in ("GET", "HEAD", "GET", "HEAD")]
    assert found == [b"ok", b"", b"ok", b""]
    assert played.connections() == 1


def test_an_answer_before_the_body_is_sent_is_the_answer(clients, odd):
    """A server that answers the head and reads no more: 413 is the result, though most of the body never left."""
    refused = b"HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno"
    # Four bytes of the body are read, the rest fills the buffers.
    played = odd.play([HEAD, take(4), send(refused), HOLD])

    answer = clients(played.url).post("/", data=b"x" * 20_000_000)

    assert (answer.status_code, answer.content) == (413, b"no")
    books = clients.books()
    assert (books.failed, books.answered, books.unanswered) == (1, 1, 0)


@pytest.mark.parametrize("interim", [b"100 Continue", b"102 Processing", b"103 Early Hints"])
def test_an_interim_answer_before_the_body_is_sent_is_none(clients, odd, interim):
    """The body goes on after it, whole."""
    body = "x" * 5_000_000
    played = odd.play([HEAD, send(b"HTTP/1.1 ", interim, b"\r\n\r\n"), pause(0.05), BODY, send(OK)])

    answer = clients(played.url, network_timeout=15).post("/", data=body.encode())

    assert (answer.content, answer.error) == (b"ok", None)
    assert played.requests()[0].body == body


@pytest.mark.parametrize("end", [RESET, SHUT], ids=["reset", "closed"])
def test_a_server_that_leaves_while_the_body_is_sent_is_one_failure(clients, odd, end):
    """Nothing was answered, and a body is never sent twice."""
    played = odd.play([HEAD, take(100_000), end])

    answer = clients(played.url).put("/", data=b"x" * 20_000_000)

    assert isinstance(answer.error, ConnectionLostError)
    books = clients.books()
    assert (books.failed, books.answered, books.unanswered) == (1, 0, 1)
    assert played.connections() == 1


def test_endless_interim_answers_are_no_answer(clients, odd):
    """A flood of 1xx ends as a time-out of the whole request, not in a loop."""
    played = odd.play([REQUEST, flood(b"HTTP/1.1 102 Processing\r\n\r\n" * 100)])

    answer = clients(played.url, total_timeout=0.5).get("/")

    assert answer.error is not None
    assert clients.books().started == 1


def test_a_stream_that_breaks_is_a_failed_request(clients, odd):
    """Whoever reads it is told, and so are the books: it must not hide among the ok ones."""
    played = odd.play([REQUEST, send(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nfirst\n")])

    answer = clients(played.url).get("/", stream=True)
    with pytest.raises(ConnectionLostError):
        list(answer.iter_lines())

    books = clients.books()
    assert (books.started, books.ok, books.failed, books.answered) == (1, 0, 1, 1)
