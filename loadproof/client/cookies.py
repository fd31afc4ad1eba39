"""A user's cookies: kept and chosen by the standard library's jar, looked up without it where nothing changed."""

from __future__ import annotations

from http.cookiejar import CookieJar
from time import time
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from requests.cookies import RequestsCookieJar, create_cookie

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping
    from http.cookiejar import Cookie

    from loadproof.client.headers import Headers
    from loadproof.client.request import Request

LINES: Final = 64
"""Cookie fields kept a user, where cookies are for some paths only."""


class Cookies(RequestsCookieJar):
    """The jar that `client.cookies` is; knows when its answer for a request may have changed."""

    def __init__(self) -> None:
        super().__init__()
        self._lines: dict[Hashable, bytes] = {}
        self._until = 0.0
        """Wall-clock time of the first expiry; 0 when nothing expires."""
        self._everywhere = True
        """Whether no cookie is for some paths only."""
        self._took: tuple[str, ...] | None = None

    def line(self, request: Request) -> bytes:
        """The Cookie field for this request with its line end; empty when none fits."""
        if self._until and time() >= self._until:
            self._lines.clear()
        key = request.origin if self._everywhere else request.url
        line = self._lines.get(key)
        if line is None:
            line = self._look_up(request.url)
            if len(self._lines) >= LINES:
                self._lines.clear()
            self._lines[key] = line
        return line

    def take(self, url: str, headers: Headers) -> None:
        """Keep what an answer to this URL sets."""
        took = (url, *headers.get_all("set-cookie"))
        if took == self._took:
            return
        self.extract_cookies(_Answered(took[1:]), _Asking(url))  # type: ignore[arg-type]  # duck types
        # The same cookie again changes nothing, unless its life begins anew with each.
        lasting = any("max-age" in value.lower() or "expires" in value.lower() for value in took[1:])
        self._took = None if lasting else took

    def set_cookie(self, cookie: Cookie, *args: Any, **kwargs: Any) -> None:
        super().set_cookie(cookie, *args, **kwargs)
        self._changed()

    def clear(self, *args: Any, **kwargs: Any) -> None:
        try:
            super().clear(*args, **kwargs)
        finally:
            self._changed()

    def _changed(self) -> None:
        self._lines.clear()
        self._took = None
        self._until = min((cookie.expires for cookie in self if cookie.expires), default=0.0)
        self._everywhere = all(cookie.path == "/" for cookie in self)

    def _look_up(self, url: str) -> bytes:
        asking = _Asking(url)
        self.add_cookie_header(asking)  # type: ignore[arg-type]  # a duck type
        self._until = min((cookie.expires for cookie in self if cookie.expires), default=0.0)
        value = asking.added.get("Cookie")
        return b"" if value is None else f"Cookie: {value}\r\n".encode("latin-1", "replace")


def merged(jar: Cookies | None, extra: Mapping[str, Any] | CookieJar, request: Request) -> bytes:
    """The Cookie field of one request with cookies of its own beside those of the jar."""
    both = Cookies()
    if jar is not None:
        both.update(jar)
    if isinstance(extra, CookieJar):
        both.update(extra)
    else:
        for name, value in extra.items():
            both.set_cookie(create_cookie(name, str(value)))
    return both.line(request)


class _Asking:
    """What `http.cookiejar` wants to know of a request."""

    unverifiable = False

    def __init__(self, url: str) -> None:
        self._url = url
        split = urlsplit(url)
        self.type = split.scheme
        self.host = split.netloc
        self.origin_req_host = split.hostname or ""
        self.added: dict[str, str] = {}

    def get_full_url(self) -> str:
        return self._url

    def get_header(self, name: str, default: str | None = None) -> str | None:
        return self.added.get(name, default)

    def has_header(self, name: str) -> bool:
        return name in self.added

    def add_unredirected_header(self, name: str, value: str) -> None:
        self.added[name] = value


class _Answered:
    """What `http.cookiejar` wants to know of an answer."""

    def __init__(self, values: tuple[str, ...]) -> None:
        self._values = values

    def info(self) -> _Answered:
        return self

    def get_all(self, name: str, default: Any = None) -> Any:
        return list(self._values) if name.lower() == "set-cookie" else (default or [])
