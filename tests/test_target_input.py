"""Whatever is sent, the target answers with an error of its own form and never with 5xx."""

from __future__ import annotations

import asyncio
import errno
import json
import socket

import httpx
import msgspec
import pytest
from fuzzing import bodies, is_sound
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from serving import HASH, HEADERS, POLICY, serving
from starlette.requests import Request

from target.answers import RefusedError, read_json

ACTION = {"subject": {"a": 1}, "action": "read", "resource": "x", "context": {}}
UPDATE = {"policy": POLICY, "if_version": 1}

BODIES = bodies(POLICY, ACTION, UPDATE)
SEGMENTS = st.sampled_from(
    ["policies", "1", "decisions", "counts", "metrics", "gateway", "health", "..", "", "%00", "%ff", "%2f"]
) | st.text(max_size=6).map(lambda text: httpx.QueryParams({"x": text}).__str__()[2:])
PATHS = st.lists(SEGMENTS, max_size=4).map(lambda segments: "/" + "/".join(segments))
QUERIES = st.sampled_from(
    ["", "?", "?run=%ff", "?run=x&run=y", "?offset=%00", "?limit=5&limit=x", "?&&=="]
) | (
    st.dictionaries(st.sampled_from(["run", "offset", "limit", "resource"]), st.text(max_size=6)).map(
        lambda query: "?" + str(httpx.QueryParams(query))
    )
)
METHODS = st.sampled_from(["GET", "POST", "PUT", "HEAD", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND"])
PIECES = [
    *(b"GET ", b"POST ", b"CONNECT h:1 ", b"PRI * ", b"* ", b"/policies", b" HTTP/1.1", b" HTTP/9.9"),
    *(b"Host: t\r\n", b"Content-Length: 5\r\n", b"Content-Length: -1\r\n", b"Upgrade: h2c\r\n", b": \r\n"),
    *(b"Transfer-Encoding: chunked\r\n", b"zz\r\n", b"\r\n", b"\n", b"\x00", b"\xff", b"a" * 70_000),
]
EXTRA = st.dictionaries(
    st.sampled_from(
        [
            "Loadproof-Run",
            "X-Constitutional-Hash",
            "Content-Type",
            "Accept",
            "Upgrade",
            "Expect",
            "Cookie",
            "Host",
        ]
    ),
    st.binary(max_size=20).map(lambda value: bytes(byte for byte in value if byte >= 0x20 and byte != 0x7F)),
)


@pytest.fixture(scope="module")
def target(tmp_path_factory):
    with serving(folder=tmp_path_factory.mktemp("input")) as served:
        httpx.post(served.url + "/policies", json=POLICY, headers=HEADERS)
        yield served
        # A defect leaves its traceback here.
        assert served.end() == 0
        assert served.process.communicate()[1] == b""


@pytest.fixture(scope="module")
def client(target):
    with target.client() as client:
        yield client


def exchange(target, data: bytes, *, half_close: bool = True) -> bytes:
    """What comes back until the target ends the connection, which it may do with our bytes unread."""
    answer = b""
    with socket.create_connection(("127.0.0.1", httpx.URL(target.url).port), timeout=30) as connection:
        try:
            connection.sendall(data)
            if half_close:
                connection.shutdown(socket.SHUT_WR)
            while part := connection.recv(65536):
                answer += part
        except OSError as error:
            if error.errno not in {errno.ECONNRESET, errno.EPIPE, errno.ENOTCONN}:
                raise
    return answer


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    route=st.sampled_from(["POST /policies", "PUT /policies/1", "POST /policies/1/decisions"]), body=BODIES
)
def test_no_body_breaks_the_target(client, route, body):
    """Damaged documents, other JSON and plain bytes: an answer below 500 in the right form."""
    method, path = route.split()
    is_sound(client.request(method, path, content=body), method)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(method=METHODS, path=PATHS, query=QUERIES, headers=EXTRA, body=st.binary(max_size=10))
def test_no_request_line_or_header_breaks_the_target(target, client, method, path, query, headers, body):
    """Odd paths, queries, methods and headers: an answer below 500 in the right form."""
    wire = [(name.encode(), value) for name, value in headers.items()]
    try:
        answer = client.request(method, target.url + path + query, headers=wire, content=body)
    except (httpx.InvalidURL, httpx.LocalProtocolError):
        return  # the client does not send such a thing
    is_sound(answer, method)


@settings(max_examples=150, deadline=None)
@given(
    data=st.one_of(
        st.binary(min_size=1, max_size=200),
        st.lists(
            st.sampled_from(PIECES),
            min_size=1,
            max_size=8,
        ).map(b"".join),
    )
)
def test_no_bytes_on_the_wire_break_the_target(target, data):
    """Bytes that are no HTTP are answered with 400 in our form or by silence, and the target serves on."""
    answer = exchange(target, data)
    if answer:
        head, _, body = answer.partition(b"\r\n\r\n")
        status = int(head.split()[1])
        assert status < 500
        assert b"x-constitutional-hash: " + HASH.encode() in head.lower()
        if b"400 Bad Request" in head.splitlines()[0] and body:
            assert json.loads(body)["error"]["code"]
    assert httpx.get(target.url + "/gateway/health").status_code == 200


def test_nesting_without_end_is_malformed():
    """A body that is nested deeper than any reader goes is refused as malformed, also where any JSON is taken."""

    async def receive():
        return {"type": "http.request", "body": b"[" * 900_000}

    request = Request({"type": "http", "headers": []}, receive)
    with pytest.raises(RefusedError) as refused:
        asyncio.run(read_json(request, msgspec.json.Decoder(object)))

    assert (refused.value.status, refused.value.code) == (400, "malformed_json")


def test_an_upgrade_is_answered_and_the_connection_ends(target):
    """A request to upgrade is answered as any other; what follows on that connection would not be read."""
    answer = exchange(
        target,
        b"GET /gateway/health HTTP/1.1\r\nHost: t\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        half_close=False,
    )

    assert answer.startswith(b"HTTP/1.1 200")
    assert b"connection: close" in answer.lower()
