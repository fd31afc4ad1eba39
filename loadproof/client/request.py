"""A request as bytes: built once for equal arguments, since building costs more than sending."""

from __future__ import annotations

import json as standard_json
import re
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, urlencode, urljoin, urlsplit

import msgspec
import requests

from loadproof.client.origin import basic_authorization, origin_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from loadproof.client.origin import Origin, Proxy
    from loadproof.client.tls import Certificate
    from loadproof.measure.tally import Tally

IDEMPOTENT: Final = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE"})
"""RFC 9110, 9.2.2: sending one of these twice is as sending it once."""
DEFAULTS: Final = {
    "User-Agent": "loadproof",
    "Accept-Encoding": "gzip, deflate, br, zstd",
    "Accept": "*/*",
}
_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_SAFE_PATH: Final = re.compile(r"[!#$%&'()*+,\-./0-9:;=?@A-Z\[\]_a-z~]*")
_encode: Final = msgspec.json.Encoder().encode


class Request:
    """What is sent but for cookies and body: they may differ between requests that share this."""

    __slots__ = (
        "bare",
        "fields",
        "has_content_type",
        "head",
        "head_size",
        "idempotent",
        "json_head",
        "method",
        "name",
        "origin",
        "path",
        "plain",
        "scenario",
        "tally",
        "url",
    )

    def __init__(
        self, method: str, url: str, name: str, origin: Origin, path: str, fields: dict[str, str]
    ) -> None:
        self.method = method
        self.url = url
        self.name = name
        self.origin = origin
        self.path = path
        """As the origin sees it, with the query."""
        self.fields = fields
        self.idempotent = method in IDEMPOTENT
        names = {key.lower() for key in fields}
        self.has_content_type = "content-type" in names
        self.plain = method != "HEAD" and "expect" not in names
        """Whether it goes out in one piece and an answer is read by its own head alone."""
        self.scenario = ""
        self.head_size = 0
        """Of the answer before."""
        self.tally: Tally | None = None
        """Where it was counted last."""
        target = url if origin.forwarded else path
        lines = [f"{method} {target} HTTP/1.1", *(f"{key}: {value}" for key, value in fields.items())]
        self.head = ("\r\n".join(lines) + "\r\n").encode("latin-1")
        """Request line and fields, without the empty line after them."""
        self.bare = self.head + b"\r\n"
        self.json_head = self.head
        if not self.has_content_type:
            self.json_head += b"Content-Type: application/json\r\n"

    def with_fields(self, fields: Mapping[str, Any]) -> Request:
        """The same with other fields beside those that the origin asks for."""
        demanded = ("Host", "Proxy-Authorization")
        own: dict[str, str] = {key: self.fields[key] for key in demanded if key in self.fields}
        return Request(self.method, self.url, self.name, self.origin, self.path, {**own, **fields})

    def with_body(self, body: bytes, content_type: str | None, cookies: bytes = b"") -> bytes:
        """The whole request; a body of no bytes is sent as such where the method is one that has bodies."""
        kind = b"" if content_type is None else f"Content-Type: {content_type}\r\n".encode("latin-1")
        return b"%b%b%bContent-Length: %d\r\n\r\n%b" % (self.head, kind, cookies, len(body), body)


def build(
    method: str,
    url: str,
    base_url: str | None,
    *,
    name: str | None,
    fields: Mapping[str, Any],
    verify: bool | str,
    certificate: Certificate | None,
    proxy: Proxy | None,
) -> Request:
    """ValueError, with what is wrong, for a method, URL or header that cannot be sent.

    `url` is absolute, or a path that is put after the base URL; a fragment is left out.
    """
    method = method.upper()
    if not _TOKEN.fullmatch(method):
        raise ValueError(f"{method!r} is no method")
    full = url if url.lower().startswith(("http://", "https://")) else f"{base_url or ''}{url}"
    split = urlsplit(full)
    origin = origin_of(split, verify, certificate, proxy)
    path = split.path or "/"
    if split.query:
        path += f"?{split.query}"
    if not _SAFE_PATH.fullmatch(path):
        path = quote(path, safe="!#$%&'()*+,/:;=?@[]~")
    merged: dict[str, str] = {"Host": origin.authority}
    if split.username is not None:
        merged["Authorization"] = basic_authorization(split.username, split.password or "")
    if origin.forwarded and origin.proxy is not None and origin.proxy.authorization is not None:
        merged["Proxy-Authorization"] = origin.proxy.authorization
    for key, value in fields.items():
        _put(merged, key, value)
    clean = f"{origin.scheme}://{origin.authority}{path}"
    return Request(method, clean, name or url, origin, path, merged)


def _put(fields: dict[str, str], key: str, value: Any) -> None:
    """Set a field in place of one of the same name in any case; None takes it away."""
    for known in [known for known in fields if known.lower() == key.lower()]:
        del fields[known]
    if value is None:
        return
    text = value.decode("latin-1") if isinstance(value, bytes) else str(value)
    if not _TOKEN.fullmatch(key):
        raise ValueError(f"{key!r} is no name of a header")
    if any(character in text for character in "\r\n\0"):
        raise ValueError(f"header {key} has a line break in its value")
    try:
        text.encode("latin-1")
    except UnicodeEncodeError as error:
        raise ValueError(f"header {key} has characters outside Latin-1: encode them first") from error
    fields[key] = text.strip(" \t")


def redirected(method: str, status: int, url: str, location: str) -> tuple[str, str]:
    """Method and URL of the next hop, by RFC 9110, 15.4, with the changes of method that all browsers make."""
    if (status == 303 and method != "HEAD") or (status in {301, 302} and method == "POST"):
        method = "GET"
    # Servers put raw UTF-8 into Location, and the head was read as Latin-1.
    target = location.encode("latin-1").decode("utf-8", "surrogateescape")
    target = quote(target.encode("utf-8", "surrogateescape"), safe="!#$%&'()*+,/:;=?@[]~")
    return method, urljoin(url, target)


def with_params(url: str, params: Any) -> str:
    """The URL with a query of pairs, a mapping (a list as value repeats its key) or a ready text."""
    if isinstance(params, bytes):
        params = params.decode("latin-1")
    if isinstance(params, str):
        query = params
    else:
        pairs = params.items() if hasattr(params, "items") else params
        query = urlencode([(key, value) for key, value in pairs if value is not None], doseq=True)
    if not query:
        return url
    url, mark, fragment = url.partition("#")
    return f"{url}{'&' if '?' in url else '?'}{query}{mark}{fragment}"


def encode_json(value: Any) -> bytes:
    try:
        return _encode(value)
    except (TypeError, ValueError, msgspec.MsgspecError):
        # Keys that are no texts, and texts with lone surrogates, are what the standard library still takes.
        return standard_json.dumps(value).encode()


def encode_body(data: Any, files: Any) -> tuple[bytes, str | None]:
    """Body and content type of what `data` and `files` say, as requests understands them."""
    if files:
        prepared = requests.Request("POST", "http://localhost/", data=data, files=files).prepare()
        assert isinstance(prepared.body, bytes)
        return prepared.body, str(prepared.headers["Content-Type"])
    if isinstance(data, str):
        return data.encode(), None
    if isinstance(data, bytes | bytearray | memoryview):
        return bytes(data), None
    if hasattr(data, "read"):
        content = data.read()
        return (content.encode() if isinstance(content, str) else content), None
    if hasattr(data, "items") or isinstance(data, list | tuple):
        return urlencode(data, doseq=True).encode("ascii"), "application/x-www-form-urlencoded"
    return b"".join(part.encode() if isinstance(part, str) else part for part in data), None
