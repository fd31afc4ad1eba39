"""Where a request goes: scheme, host and port, through which proxy, and how a connection to it is made."""

from __future__ import annotations

import socket
from base64 import b64encode
from dataclasses import dataclass
from functools import lru_cache
from time import monotonic, monotonic_ns
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import SplitResult, unquote, urlsplit
from urllib.request import getproxies_environment, proxy_bypass

from gevent import monkey, sleep
from gevent.hub import get_hub

from loadproof.client.answer import AnswerReader
from loadproof.client.connection import Connection
from loadproof.client.detour import dialled
from loadproof.client.tls import Certificate, TlsConnection, tls_context
from loadproof.errors import ConnectError, ConnectionLostError, MalformedAnswerError, ResolveError
from loadproof.measure.interval import Timed

if TYPE_CHECKING:
    from collections.abc import Callable
    from ssl import SSLSession

    Told = Callable[[Timed, str, int], None]

PORTS: Final = {"http": 80, "https": 443}
FRESH_S: Final = 5.0
"""How long a resolved name is believed, so that a change of addresses is seen during a run."""
_getaddrinfo = monkey.get_original("socket", "getaddrinfo")
_known: dict[tuple[str, int], tuple[float, list[tuple[Any, Any]]]] = {}


@dataclass(frozen=True)
class Proxy:
    host: str
    port: int
    authorization: str | None = None
    """Value of Proxy-Authorization."""


@dataclass(frozen=True, eq=False)
class Origin:
    """Everything that two requests must share to share a connection; there is one object of each."""

    scheme: str
    host: str
    port: int
    proxy: Proxy | None
    verify: bool | str
    certificate: Certificate | None

    @property
    def authority(self) -> str:
        """As it stands in a Host field: without the port that the scheme implies."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def place(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    @property
    def forwarded(self) -> bool:
        """Whether the proxy reads our requests, so that they name the whole URL."""
        return self.proxy is not None and self.scheme == "http"

    def shares_credentials(self, other: Origin) -> bool:
        """Whether a redirect there may carry Authorization: not to another port, nor from https to http."""
        ours, theirs = (self.scheme, self.port), (other.scheme, other.port)
        return self.host == other.host and (
            ours == theirs or (ours, theirs) == (("http", 80), ("https", 443))
        )

    def new_connection(self) -> Connection:
        return TlsConnection() if self.scheme == "https" else Connection()

    def connect(
        self,
        connection: Connection,
        source: str | None,
        session: SSLSession | None,
        told: Told,
        *,
        tunnel: bool = False,
    ) -> None:
        """Make the connection usable; RequestError says why it cannot be. `told` hears how long each part took.

        `tunnel` asks a proxy for one even where it could forward the request: what follows is not HTTP.
        """
        host, port = (self.host, self.port) if self.proxy is None else (self.proxy.host, self.proxy.port)
        place = f"{host}:{port}"
        try:
            if self.proxy is not None and dialled(self.host, self.port) != (self.host, self.port):
                raise ConnectError(
                    "no connection: a proxy of the client's own would go round the run's faults"
                )
            begun = monotonic_ns()
            addresses, looked_up = resolve(*dialled(host, port))
            if looked_up:
                told(Timed.RESOLVE, host, (monotonic_ns() - begun) // 1_000)
            begun = monotonic_ns()
            connection.open(addresses, source)
        except (ResolveError, ConnectError):
            # It may have failed without a wait, and who tries again at once would leave nobody else a turn.
            sleep(0)
            raise
        if self.proxy is not None and (tunnel or self.scheme == "https"):
            self._ask_for_tunnel(connection, self.proxy)
        told(Timed.CONNECT, place, (monotonic_ns() - begun) // 1_000)
        if isinstance(connection, TlsConnection):
            begun = monotonic_ns()
            connection.shake_hands(tls_context(self.verify, self.certificate), self.host, session)
            told(Timed.TLS, self.place, (monotonic_ns() - begun) // 1_000)

    def _ask_for_tunnel(self, connection: Connection, proxy: Proxy) -> None:
        ask = f"CONNECT {self.place} HTTP/1.1\r\nHost: {self.place}\r\n"
        if proxy.authorization is not None:
            ask += f"Proxy-Authorization: {proxy.authorization}\r\n"
        # Below the encryption, which begins only in the tunnel.
        Connection.send(connection, f"{ask}\r\n".encode("latin-1"))
        reader = AnswerReader("HEAD")
        try:
            while True:
                data = Connection.receive(connection)
                if not data:
                    reader.eof()
                if reader.feed(data):
                    break
        except (ConnectionLostError, MalformedAnswerError) as error:
            raise ConnectError(f"the proxy gives no tunnel: {error}") from error
        if reader.status // 100 != 2:
            raise ConnectError(f"the proxy gives no tunnel: HTTP {reader.status}")


def resolve(host: str, port: int) -> tuple[list[tuple[Any, Any]], bool]:
    """(family, address) in the order to try, and whether somebody had to be asked; ResolveError without any."""
    key = (host, port)
    until, known = _known.get(key, (0.0, []))
    if monotonic() < until:
        return known, False
    try:
        numeric = _getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except (OSError, UnicodeError):
        pass
    else:
        return [(family, address) for family, _, _, _, address in numeric], False
    try:
        # In gevent's thread pool: the hub goes on meanwhile.
        found = get_hub().resolver.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise ResolveError(f"the name {host} has no address") from error
    addresses = [(family, address) for family, _, _, _, address in found]
    _known[key] = (monotonic() + FRESH_S, addresses)
    return addresses, True


def origin_of(
    url: SplitResult, verify: bool | str, certificate: Certificate | None, proxy: Proxy | None
) -> Origin:
    """The origin of an absolute URL; ValueError when it has none."""
    scheme = url.scheme.lower()
    if scheme not in PORTS:
        raise ValueError(f"{url.geturl()!r} is no http or https URL")
    host = url.hostname
    if not host:
        raise ValueError(f"{url.geturl()!r} names no host")
    if not host.isascii():
        try:
            host = host.encode("idna").decode("ascii")
        except UnicodeError as error:
            raise ValueError(f"{url.geturl()!r} has a host that is no name") from error
    port = url.port or PORTS[scheme]
    if proxy is None:
        proxy = _environments_proxy(scheme, host, port)
    return _only(scheme, host, port, proxy, verify, certificate)


_only = lru_cache(maxsize=4096)(Origin)


def _environments_proxy(scheme: str, host: str, port: int) -> Proxy | None:
    proxies = getproxies_environment()
    address = proxies.get(scheme)
    if not address or proxy_bypass(f"{host}:{port}", proxies):
        return None
    split = urlsplit(address if "://" in address else f"http://{address}")
    if split.scheme != "http" or not split.hostname:
        raise ValueError(f"the environment's {scheme}_proxy is not http://HOST:PORT")
    authorization = None
    if split.username is not None:
        authorization = basic_authorization(unquote(split.username), unquote(split.password or ""))
    return Proxy(split.hostname, split.port or 80, authorization)


def basic_authorization(user: str | bytes, password: str | bytes) -> str:
    """Value of an Authorization field (RFC 7617), in Latin-1 as requests sends it."""
    pair = b":".join(part.encode("latin-1") if isinstance(part, str) else part for part in (user, password))
    return "Basic " + b64encode(pair).decode("ascii")
