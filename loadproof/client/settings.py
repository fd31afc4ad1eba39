"""What all users of one class share: timeouts, default headers, certificates, and the requests they have built."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from loadproof.client.books import RUN_HEADER, books
from loadproof.client.origin import Proxy
from loadproof.client.request import DEFAULTS

if TYPE_CHECKING:
    from loadproof.client.request import Request
    from loadproof.client.tls import Certificate
    from loadproof.client.user import LoadUser

SECOND_NS = 1_000_000_000


@dataclass(frozen=True, eq=False)
class Settings:
    scenario: str
    base_url: str | None
    connect_ns: int
    read_ns: int
    total_ns: int | None
    first_wait_ns: int
    """The shorter of both: how long a request on a kept connection may wait for its first byte."""
    max_redirects: int
    fields: dict[str, str]
    """Header fields of every request."""
    verify: bool | str
    certificate: Certificate | None
    proxy: Proxy | None
    requests: dict[Any, Request] = field(default_factory=dict)
    """Those built so far, by their arguments."""

    def at(self, base_url: str | None) -> Settings:
        """The same for another base URL."""
        return replace(self, base_url=base_url, requests={})


_shared: dict[tuple[type, str | None, str | None], Settings] = {}


def settings_of(user: LoadUser) -> Settings:
    """The settings of a user's class at its host, in this process's run; the values count when first asked for.

    ValueError for a host that is no URL.
    """
    base_url = None if user.host is None else user.host.rstrip("/")
    if base_url is not None and urlsplit(base_url).scheme not in {"http", "https"}:
        raise ValueError(
            f"{type(user).__name__}.host is {base_url!r}: it must begin with http:// or https://"
        )
    key = (type(user), base_url, books.run)
    settings = _shared.get(key)
    if settings is None:
        settings = _shared[key] = _read(user, base_url)
    return settings


def _read(user: LoadUser, base_url: str | None) -> Settings:
    fields = {**DEFAULTS, **(user.default_headers or {})}
    if books.run is not None:
        fields[RUN_HEADER] = books.run
    proxy = None
    if user.proxy_host is not None:
        proxy = Proxy(user.proxy_host, user.proxy_port or 80)
    read_ns = _nanoseconds(user.network_timeout)
    total_ns = None if user.total_timeout is None else _nanoseconds(user.total_timeout)
    return Settings(
        scenario=type(user).__name__,
        base_url=base_url,
        connect_ns=_nanoseconds(user.connection_timeout),
        read_ns=read_ns,
        total_ns=total_ns,
        first_wait_ns=read_ns if total_ns is None else min(read_ns, total_ns),
        max_redirects=user.max_redirects,
        fields=fields,
        verify=False if user.insecure else user.authorities or True,
        certificate=user.client_certificate,
        proxy=proxy,
    )


def _nanoseconds(seconds: float) -> int:
    return round(seconds * SECOND_NS)
