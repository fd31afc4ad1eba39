"""How workers come to go by the proxy that makes the plan's faults, and that nothing of theirs goes round it."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from loadproof.client.detour import detour
from loadproof.client.origin import origin_of
from loadproof.client.user import LoadUser
from loadproof.errors import UsageError
from loadproof.plan.faults import PROXIED

if TYPE_CHECKING:
    from collections.abc import Iterable

    from distributed.messages import FaultProxy
    from loadproof.client.origin import Origin
    from loadproof.plan.model import Plan


def check_clients(url: str, classes: Iterable[type]) -> None:
    """UsageError where requests of these user classes at the target would go by a proxy of their own, and so round ours."""
    for user_class in classes:
        if getattr(user_class, "proxy_host", None) is not None:
            raise UsageError(
                f"{user_class.__name__} has a `proxy_host`, by which its requests would go round the plan's faults: leave "
                "it out of this run"
            )
        if issubclass(user_class, LoadUser) and _origin(url).proxy is not None:
            host = urlsplit(url).hostname
            raise UsageError(
                f"by HTTP_PROXY or HTTPS_PROXY requests would go round the plan's faults: add {host} to NO_PROXY"
            )


def go_by(proxy: FaultProxy | None, plan: Plan, url: str, classes: Iterable[type]) -> None:
    """Dial the proxy in place of the target, and of nothing else; nothing where the plan has no such fault.

    UsageError where requests would not go by it.
    """
    proxied = sorted({fault.kind for fault in plan.faults} & PROXIED)
    if not proxied:
        return
    if proxy is None:
        raise UsageError(f"the master names no proxy for the plan's faults {', '.join(proxied)}")
    check_clients(url, classes)
    origin = _origin(url)
    detour((origin.host, origin.port), (proxy.host, proxy.port))


def _origin(url: str) -> Origin:
    return origin_of(urlsplit(url), verify=True, certificate=None, proxy=None)
