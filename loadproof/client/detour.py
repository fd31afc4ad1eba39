"""Another address is dialled in place of a URL's own, as with curl's --connect-to; all else keeps the URL's name.

SNI, certificates, the Host field, cookies, redirects and reports know nothing of it. It is asked for when a connection is
made, never for a request.
"""

from __future__ import annotations

from typing import Any, TypeAlias

from gevent.hub import get_hub

Place: TypeAlias = tuple[str, int]
"""Host, in lower case and without brackets, and port."""
_detours: dict[Place, Place] = {}


def detour(place: Place, by: Place) -> None:
    """Dial `by` wherever this process would dial `place`, to its end; in the clients of stock users, too.

    Whoever resolves names without Python, or connects to an address without asking for one, is not seen.
    """
    _detours[place] = by
    hub = get_hub()
    if not isinstance(hub.resolver, _Resolver):
        hub.resolver = _Resolver(hub.resolver)


def dialled(host: str, port: int) -> Place:
    """What is dialled for this host and port: they themselves, but for a detour."""
    return _detours.get((host, port), (host, port))


class _Resolver:
    """The hub's own, which answers for another place where there is a detour: every library here asks it."""

    def __init__(self, resolver: Any) -> None:
        self._resolver = resolver

    def __getattr__(self, name: str) -> Any:
        return getattr(self._resolver, name)

    def getaddrinfo(self, host: Any, port: Any, *rest: Any, **more: Any) -> Any:
        if isinstance(host, str):
            host, port = _detours.get((host.lower(), port), (host, port))
        return self._resolver.getaddrinfo(host, port, *rest, **more)
