"""One check before every route of the web UI: who asks, from which page, for which host, and how.

The pages behind it are Locust's, which asks nobody who they are, and lets any page of any host ask. So nothing of a
request reaches them before this has said yes: no file, no unknown path, no method, no body.
"""

from __future__ import annotations

import ipaddress
import socket
from http.cookies import CookieError, SimpleCookie
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs, urlsplit

from distributed.hosts import is_loopback
from distributed.web.login_page import login_page

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from distributed.web.login import Login

LOGIN: Final = "/login"
BODY_BYTES: Final = 64 * 1024
HEADERS: Final = (
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
    # Not `no-referrer`: a browser would then send the login form with an Origin of null.
    ("Referrer-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
)
CONTENT_POLICY: Final = "Content-Security-Policy"
LOGIN_POLICY: Final = (
    "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; img-src data:; base-uri 'none'; "
    "frame-ancestors 'none'"
)


class Gate:
    """WSGI around the pages: answers the login itself, and hands on only what somebody who is logged in asks for."""

    def __init__(
        self,
        pages: Callable[..., Iterable[bytes]],
        login: Login,
        host: str,
        port: int,
        link_spent: Callable[[str], None],
    ) -> None:
        """`link_spent` is told the address that a one-time link was used from."""
        self._pages = pages
        self._login = login
        self._loopback_only = is_loopback(host)
        self._names = {"localhost", host.lower(), socket.gethostname().lower()}
        # Browsers keep the cookies of all ports of a host in one place.
        self.cookie = f"loadproof_{port}"
        self._link_spent = link_spent

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        refusal = self._misdirected(environ)
        if refusal is not None:
            return _refuse(start_response, *refusal)
        if environ.get("PATH_INFO") == LOGIN:
            return self._answer_login(environ, start_response)
        if not self._is_known(environ):
            if not self._login.may_guess(_address(environ)):
                return _too_many(start_response)
            wants_page = "text/html" in environ.get("HTTP_ACCEPT", "")
            return self._ask(start_response, "401 Unauthorized", "" if wants_page else None)

        def start(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
            return start_response(status, _hardened(headers), exc_info)

        return self._pages(environ, start)

    def _misdirected(self, environ: dict[str, Any]) -> tuple[str, str] | None:
        """Status and reason for a request that no page of ours makes."""
        host, method = environ.get("HTTP_HOST", ""), environ.get("REQUEST_METHOD", "")
        if not self._is_our_host(host):
            return (
                "421 Misdirected Request",
                "open this page by the address of its host, not by another name\n",
            )
        if method not in {"GET", "HEAD", "POST"}:
            return "405 Method Not Allowed", "use GET or POST\n"
        origin = environ.get("HTTP_ORIGIN")
        if origin is not None and origin not in {f"http://{host}", f"https://{host}"}:
            return "403 Forbidden", "asked by a page of another origin\n"
        if environ.get("HTTP_SEC_FETCH_SITE") in {"cross-site", "same-site"} and method == "POST":
            return "403 Forbidden", "asked by a page of another origin\n"
        if method == "POST" and origin is None and "HTTP_AUTHORIZATION" not in environ:
            return "403 Forbidden", "a browser says which page asks; a script sends Authorization: Bearer\n"
        if method == "POST" and not _is_short(environ):
            return "413 Content Too Large", f"a body has a Content-Length of at most {BODY_BYTES:,} bytes\n"
        return None

    def _is_our_host(self, said: str) -> bool:
        """A name that some other page's host may be given in the DNS is not ours; an address cannot be."""
        try:
            name = urlsplit(f"//{said}").hostname or ""
        except ValueError:
            return False
        if self._loopback_only:
            return is_loopback(name)
        if name in self._names:
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True

    def _is_known(self, environ: dict[str, Any]) -> bool:
        said = environ.get("HTTP_AUTHORIZATION")
        if said is None:
            return self._login.is_session(self._cookie(environ))
        if not self._login.may_guess(_address(environ)):
            return False
        if self._login.is_token(said.removeprefix("Bearer ")):
            return True
        self._login.guessed_wrong(_address(environ))
        return False

    def _cookie(self, environ: dict[str, Any]) -> str:
        try:
            morsel = SimpleCookie(environ.get("HTTP_COOKIE", "")).get(self.cookie)
        except CookieError:
            return ""
        return "" if morsel is None else morsel.value

    def _answer_login(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        address = _address(environ)
        if self._login.is_session(self._cookie(environ)):
            return _answer(start_response, "303 See Other", b"", ("Location", "/"))
        if not self._login.may_guess(address):
            return _too_many(start_response)
        if environ["REQUEST_METHOD"] == "POST":
            body = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
            session = self._login.log_in(_field(body.decode("utf-8", "replace"), "token"))
        elif environ["REQUEST_METHOD"] == "GET" and (link := _field(environ.get("QUERY_STRING", ""), "link")):
            session = self._login.spend_link(link)
        else:
            return self._ask(start_response, "200 OK", "")
        if session is None:
            self._login.guessed_wrong(address)
            what = "token" if environ["REQUEST_METHOD"] == "POST" else "link, or one that is spent"
            return self._ask(start_response, "403 Forbidden", f"That is a wrong {what}.")
        if environ["REQUEST_METHOD"] != "POST":
            self._link_spent(address)
        cookie = f"{self.cookie}={session}; Path=/; HttpOnly; SameSite=Strict"
        return _answer(start_response, "303 See Other", b"", ("Location", "/"), ("Set-Cookie", cookie))

    def _ask(self, start_response: Callable[..., Any], status: str, said: str | None) -> Iterable[bytes]:
        """The login page with what is to be said on it; None where a program asked."""
        if said is None:
            return _refuse(start_response, status, f"log in at {LOGIN}\n")
        return _answer(
            start_response,
            status,
            login_page(said, has_token=self._login.has_token).encode(),
            ("Content-Type", "text/html; charset=utf-8"),
            (CONTENT_POLICY, LOGIN_POLICY),
        )


def _address(environ: dict[str, Any]) -> str:
    return str(environ.get("REMOTE_ADDR", ""))


def _is_short(environ: dict[str, Any]) -> bool:
    length = environ.get("CONTENT_LENGTH", "")
    return length.isascii() and length.isdigit() and int(length) <= BODY_BYTES


def _field(form: str, name: str) -> str:
    try:
        return parse_qs(form, max_num_fields=10).get(name, [""])[0]
    except ValueError:
        return ""


def _hardened(headers: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """What pages may say, without a word to other origins, and kept in nobody's cache."""
    ours = {name.lower() for name, _ in HEADERS} | {"cache-control", "server"}
    kept = [
        (name, value)
        for name, value in headers
        if not name.lower().startswith("access-control-") and name.lower() not in ours
    ]
    return [*kept, *HEADERS, ("Cache-Control", "no-store")]


def _too_many(start_response: Callable[..., Any]) -> list[bytes]:
    return _refuse(start_response, "429 Too Many Requests", "too many wrong guesses: wait a minute\n")


def _refuse(start_response: Callable[..., Any], status: str, text: str) -> list[bytes]:
    return _answer(start_response, status, text.encode(), ("Content-Type", "text/plain; charset=utf-8"))


def _answer(
    start_response: Callable[..., Any], status: str, body: bytes, *headers: tuple[str, str]
) -> list[bytes]:
    start_response(status, _hardened([*headers, ("Content-Length", str(len(body)))]))
    return [body]
