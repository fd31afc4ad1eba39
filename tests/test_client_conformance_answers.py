"""The client against servers that do everything right: nginx, uvicorn and Python's own HTTP/1.0 server."""

import gzip
import hashlib
import json

import answering_app
import gevent
import pytest
import requests

pytest_plugins = ("conforming",)
pytestmark = pytest.mark.timeout(60)


def test_one_connection_serves_many_requests(clients, nginx):
    """Kept alive: nginx sees all requests of a user on one connection, and counts as many as the client."""
    client = clients(nginx.url())
    before = nginx.counted()
    answers = [client.get("/small.txt") for _ in range(20)]

    assert {(each.status_code, each.content) for each in answers} == {(200, b"small\n")}
    assert len({each.headers["x-connection"] for each in answers}) == 1
    assert answers[-1].headers["X-Served"] == "20"
    books = clients.books()
    assert (books.ok, books.answered, books.unanswered, books.unconnected) == (20, 20, 0, 0)
    assert nginx.counted() - before == 20


def test_a_large_body_comes_whole(clients, nginx):
    """50 MB arrive bit by bit the same, and are counted."""
    client = clients(nginx.url())

    answer = client.get("/large")

    assert hashlib.sha256(answer.content).digest() == hashlib.sha256(nginx.file("large")).digest()
    assert clients.books().bytes_received >= 50_000_000


def test_a_large_body_can_be_read_in_pieces(clients, nginx):
    """A streamed answer gives the same bytes, and the user's next request is answered by its own answer."""
    client = clients(nginx.url())
    digest = hashlib.sha256()

    for piece in client.get("/large", stream=True).iter_content(65_536):
        digest.update(piece)

    assert digest.digest() == hashlib.sha256(nginx.file("large")).digest()
    assert client.get("/small.txt").content == b"small\n"


def test_a_streamed_body_that_nobody_reads_is_in_nobodys_way(clients, nginx):
    """What is left of it is never taken for the next answer."""
    client = clients(nginx.url())
    client.get("/large", stream=True)

    assert client.get("/small.txt").content == b"small\n"
    assert clients.books().ok == 2


def test_a_large_body_goes_up_whole(clients, nginx):
    """10 MB arrive on nginx's disk as they were."""
    body = nginx.file("large")[:10_000_000]
    client = clients(nginx.url())

    answer = client.put("/put/up", data=body)

    assert (answer.status_code, answer.error) == (201, None)
    assert (nginx.folder / "put" / "up").read_bytes() == body


def test_an_answer_of_100_continue_is_passed_over(clients, nginx):
    """With `Expect: 100-continue` nginx sends an interim answer first; the status is that of the final one."""
    client = clients(nginx.url())

    answer = client.put("/put/expected", data=b"x" * 1000, headers={"Expect": "100-continue"})

    assert answer.status_code == 201
    assert (nginx.folder / "put" / "expected").read_bytes() == b"x" * 1000
    assert client.get("/small.txt").headers["X-Served"] == "2"


@pytest.mark.parametrize(
    ("method", "path", "headers", "status", "body"),
    [
        ("GET", "/empty", {}, 200, b""),
        ("GET", "/absent", {}, 404, None),
        ("POST", "/small.txt", {}, 405, None),
        ("GET", "/nothing", {}, 204, b""),
        ("GET", "/teapot", {}, 418, b"short and stout"),
        ("GET", "/long.txt", {"Range": "bytes=5-11"}, 206, b"0\nline "),
        ("GET", "/long.txt", {"Range": "bytes=99999999-"}, 416, None),
        ("HEAD", "/long.txt", {}, 200, b""),
        ("HEAD", "/absent", {}, 404, b""),
        ("OPTIONS", "/small.txt", {}, 405, None),
    ],
)
def test_statuses_and_bodies_are_those_of_nginx(clients, nginx, method, path, headers, status, body):
    """Errors, ranges and answers without a body; 4xx is a failed request, and the connection goes on."""
    client = clients(nginx.url())

    answer = client.request(method, path, headers=headers)

    assert (answer.status_code, answer.ok, answer.error) == (status, status < 400, None)
    if body is not None:
        assert answer.content == body
    assert client.get("/small.txt").content == b"small\n"
    books = clients.books()
    assert (books.ok, books.failed) == (1 + (status < 400), int(status >= 400))
    assert (books.answered, books.unanswered) == (2, 0)


def test_head_keeps_the_length_that_get_would_have(clients, nginx):
    """The fields of a HEAD are those of a GET, and its missing body is waited for by nobody."""
    client = clients(nginx.url())

    assert client.head("/long.txt").headers["Content-Length"] == str(len(nginx.file("long.txt")))
    assert client.get("/long.txt").content == nginx.file("long.txt")


def test_not_modified_has_no_body(clients, nginx):
    """304 for a known ETag, and the next answer on the connection is read from its own start."""
    client = clients(nginx.url())
    tag = client.get("/long.txt").headers["etag"]

    answer = client.get("/long.txt", headers={"If-None-Match": tag})

    assert (answer.status_code, answer.content, answer.ok) == (304, b"", True)
    assert client.get("/small.txt").headers["X-Served"] == "3"


def test_gzip_is_asked_for_and_undone(clients, nginx):
    """nginx compresses because we asked, and the scenario sees the text; the bytes counted are the wire's."""
    client = clients(nginx.url())
    plain = nginx.file("long.txt")

    answer = client.get("/zipped/long.txt")

    assert answer.headers["Content-Encoding"] == "gzip"
    assert answer.content == plain
    assert answer.text.splitlines()[7] == "line 7"
    assert 0 < clients.books().bytes_received < len(plain) / 2


def test_gzip_is_left_alone_when_not_asked_for(clients, nginx):
    """A header of the scenario's own stands in place of ours."""
    answer = clients(nginx.url()).get("/zipped/long.txt", headers={"accept-encoding": "identity"})

    assert "content-encoding" not in answer.headers
    assert answer.content == nginx.file("long.txt")


@pytest.mark.parametrize(("path", "final"), [("/moved/1", "/small.txt"), ("/moved/1/then", "/small.txt")])
def test_redirects_are_followed(clients, nginx, path, final):
    """302 by a path and 301 by a whole URL: each hop is an answered exchange, and the count is nginx's."""
    before = nginx.counted()
    answer = clients(nginx.url()).get(path)

    assert (answer.status_code, answer.url, answer.content) == (200, nginx.url() + final, b"small\n")
    books = clients.books()
    assert (books.started, books.ok, books.answered) == (1, 1, len(answer.history) + 1)
    assert nginx.counted() - before == books.answered


@pytest.mark.parametrize("server", ["plain", "six"])
def test_an_address_may_be_of_either_family(clients, nginx, server):
    """127.0.0.1 and [::1]; the port and the brackets are in the Host field."""
    host = {"plain": "127.0.0.1", "six": "[::1]"}[server]

    answer = clients(nginx.url(server, host)).get("/moved/1/then")

    assert answer.url == f"{nginx.url(server, host)}/small.txt"
    assert answer.status_code == 200


def test_a_name_with_two_addresses_finds_the_one_that_listens(clients, nginx):
    """`localhost` may be ::1 first, where nothing listens on this port."""
    answer = clients(nginx.url("plain", "localhost")).get("/small.txt")

    assert (answer.status_code, answer.error) == (200, None)
    assert clients.books().unconnected == 0


def test_the_last_answer_of_a_connection_is_an_answer(clients, nginx):
    """`Connection: close` after each answer costs a connection each, and no request."""
    answers = [clients(nginx.url()).get("/last/small.txt") for _ in range(5)]

    assert [each.content for each in answers] == [b"small\n"] * 5
    assert len({each.headers["X-Connection"] for each in answers}) == 5
    assert clients.books().ok == 5


@pytest.mark.parametrize("path", ["/dropped", "/waited"])
def test_a_server_that_closes_without_an_answer_is_one_failure(clients, nginx, path):
    """nginx's 444 and its own 408: the fresh connection is closed after the request, which is not sent again."""
    answer = clients(nginx.url()).get(path)

    assert (answer.status_code, answer.content, type(answer.error).__name__) == (
        0,
        None,
        "ConnectionLostError",
    )
    books = clients.books()
    assert (books.failed, books.answered, books.unanswered) == (1, 0, 1)


def test_http_1_0_answers_end_with_their_connection(clients, old_server):
    """Python's server closes after each; files, listings without a length, 404 and HEAD come whole."""
    client = clients(old_server)

    assert client.get("/file.txt").content == b"old\n" * 1000
    assert "file.txt" in client.get("/").text
    assert client.get("/absent").status_code == 404
    assert client.head("/file.txt").headers["Content-Length"] == "4000"
    assert client.get("/folder").url == f"{old_server}/folder/"
    books = clients.books()
    assert (books.started, books.ok, books.failed) == (5, 4, 1)
    assert (books.answered, books.unanswered) == (6, 0)


def test_chunks_of_every_size_come_whole(clients, uvicorn):
    """Streamed by uvicorn: no length, and pieces from none to 200,000 bytes."""
    sizes = [1, 0, 2, 3, 1000, 16_384, 65_535, 65_536, 65_537, 200_000, 1]
    client = clients(uvicorn.url)
    before = uvicorn.counted()
    expected = b"".join(bytes([65 + at % 26]) * size for at, size in enumerate(sizes))

    for _ in range(3):
        answer = client.get(f"/stream/{','.join(map(str, sizes))}")
        assert (answer.status_code, answer.content) == (200, expected)
    assert client.get("/stream/0").content == b""
    assert clients.books().answered == uvicorn.counted() - before == 4


@pytest.mark.parametrize("how", ["", "?dribbled"])
@pytest.mark.parametrize("coding", ["gzip", "two-gzips", "deflate", "raw-deflate", "br", "zstd", "identity"])
def test_every_coding_that_we_ask_for_is_undone(clients, uvicorn, coding, how):
    """gzip of one and of two members, both sorts of deflate, br and zstd, whole and in chunks of a byte."""
    answer = clients(uvicorn.url).get(f"/coded/{coding}{how}")

    assert answer.error is None
    assert answer.content == (b"hello" if coding == "zstd" else answering_app.TEXT)
    assert answer.text.encode() == answer.content


def test_an_unheard_of_coding_is_left_to_the_scenario(clients, uvicorn):
    """We did not ask for it; its bytes are handed out as they are."""
    answer = clients(uvicorn.url).get("/coded/x-unheard-of")

    assert (answer.status_code, answer.content) == (200, b"?")


@pytest.mark.parametrize("charset", ["utf-8", "latin-1", "utf-16", "cp1252"])
def test_a_text_is_read_in_its_charset(clients, uvicorn, charset):
    """The charset of the content type is used, and named as the encoding."""
    answer = clients(uvicorn.url).get(f"/charset/{charset}")

    assert answer.text == "naïve"
    assert answer.encoding == charset


CALLS = {
    "params": ("GET", "/echo", {"params": {"a": "1 2", "b": ["x", "y"], "c": None, "d": "ä&=+"}}),
    "params beside a query": ("GET", "/echo?z=1", {"params": [("a", "1"), ("a", "2")]}),
    "path with blanks": ("GET", "/echo/a b/ü?q=1 2", {}),
    "escaped path": ("GET", "/echo/a%2Fb%20c?x=%3D&y=a+b", {}),
    "fragment": ("GET", "/echo/a#there", {}),
    "json": ("POST", "/echo", {"json": {"a": [1, 2.5, None, True], "b": "ü"}}),
    "json list": ("PUT", "/echo", {"json": []}),
    "form": ("POST", "/echo", {"data": {"a": "1 2", "b": ["x", "ü"]}}),
    "form pairs": ("POST", "/echo", {"data": [("a", "1"), ("a", "2")]}),
    "text": ("POST", "/echo", {"data": "plain ü"}),
    "bytes": ("PATCH", "/echo", {"data": bytes(range(256))}),
    "no body": ("POST", "/echo", {}),
    "empty body": ("PUT", "/echo", {"data": b""}),
    "get with a body": ("GET", "/echo", {"data": b"unusual"}),
    "delete": ("DELETE", "/echo", {}),
    "files": ("POST", "/echo", {"files": {"f": ("n.txt", b"content", "text/plain")}, "data": {"a": "b"}}),
    "basic auth": ("GET", "/echo", {"auth": ("user", "pa:ss")}),
    "own headers": ("GET", "/echo", {"headers": {"X-Own": "yes", "accept": "text/html", "X-Latin": "é"}}),
    "own type": ("POST", "/echo", {"data": b"{}", "headers": {"content-type": "application/vnd.own"}}),
    "cookies": ("GET", "/echo", {"cookies": {"a": "1"}}),
}


def seen(answer):
    """What the server saw of a request, without what rightly differs between two clients."""
    heard = json.loads(answer.content)
    fields = dict(heard["headers"])
    kind = fields.get("content-type", "")
    body = heard["body"]
    if "boundary=" in kind:
        boundary = kind.partition("boundary=")[2]
        kind, body = kind.replace(boundary, "B"), body.replace(boundary, "B")
    elif kind == "application/json":
        body = json.loads(body.encode("latin-1"))
        fields["content-length"] = "any"
    elif not heard["body"]:
        # requests leaves it out of a PUT with an empty body's GET only.
        fields.pop("content-length", None)
    kept = {
        name: fields.get(name)
        for name in ("host", "authorization", "cookie", "x-own", "x-latin", "content-length")
    }
    return heard["method"], heard["target"], kind, body, kept


@pytest.mark.parametrize("call", CALLS)
def test_a_request_arrives_as_that_of_requests(clients, uvicorn, call):
    """Target, body, types and fields are those that the requests library sends for the same arguments."""
    method, path, options = CALLS[call]
    theirs = requests.request(method, uvicorn.url + path, timeout=20, **options)

    ours = clients(uvicorn.url).request(method, path, **options)

    assert ours.error is None
    assert seen(ours) == seen(theirs)
    assert ours.json()["headers"].count(["loadproof-run", "run-1"]) == 1


def test_default_headers_are_sent_with_every_request(clients, uvicorn):
    """The class's own fields stand beside those of a call, which win."""
    client = clients(uvicorn.url, default_headers={"X-Tenant": "7", "User-Agent": "own"})

    fields = dict(client.get("/echo", headers={"x-tenant": "8"}).json()["headers"])

    assert (fields["x-tenant"], fields["user-agent"]) == ("8", "own")


def test_users_spread_over_their_source_addresses(clients, uvicorn):
    """Every address of 127/8 is ours on Linux: the server sees the ones that the class names."""
    addresses = ("127.0.0.2", "127.0.0.3")
    seen_from = set()
    for slot in range(4):
        client = clients(uvicorn.url, source_addresses=addresses, slot=slot, slots=4)
        seen_from.add(client.get("/echo").json()["client"])

    assert seen_from == set(addresses)


def test_greenlets_of_one_user_get_their_own_answers(clients, uvicorn):
    """Ten requests at once of one session: none waits for, or gets, another's answer."""
    client = clients(uvicorn.url)
    jobs = [gevent.spawn(client.get, f"/echo/{number}") for number in range(10)]
    gevent.joinall(jobs, timeout=20)

    assert [job.value.json()["target"] for job in jobs] == [f"/echo/{number}" for number in range(10)]
    assert clients.books().ok == 10


def test_an_answer_that_comes_before_the_body_is_sent_is_the_answer(clients, uvicorn):
    """uvicorn says 413 without reading 10 MB: one failed request with that status, and no error of the socket."""
    answer = clients(uvicorn.url).post("/early", data=b"x" * 10_000_000)

    assert answer.status_code == 413
    books = clients.books()
    assert (books.failed, books.answered, books.unanswered, books.errors) == (1, 1, 0, ["HTTP 413"])


def test_gzip_of_the_scenarios_own_goes_up_as_it_is(clients, uvicorn):
    """A body that the scenario compressed is sent as bytes with its Content-Encoding."""
    packed = gzip.compress(b"content")
    answer = clients(uvicorn.url).post("/echo", data=packed, headers={"Content-Encoding": "gzip"})

    assert answer.json()["body"].encode("latin-1") == packed


def test_nothing_is_shared_between_users(clients, nginx):
    """Two users of one process have a connection each."""
    first, second = clients(nginx.url()), clients(nginx.url())

    assert first.get("/small.txt").headers["X-Connection"] != second.get("/small.txt").headers["X-Connection"]
