"""Which hosts are this machine, and which others a plan would load."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from loadproof.plan.model import EMBEDDED

if TYPE_CHECKING:
    from loadproof.plan.model import Plan


def is_loopback(host: str) -> bool:
    """By its name or address; a name is not resolved."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def needs_permission(plan: Plan) -> str | None:
    """The host that this plan would load although it is neither loopback nor allowed by the plan; else None."""
    if plan.target == EMBEDDED:
        return None
    host = urlsplit(plan.target).hostname or ""
    return None if is_loopback(host) or host in plan.allow_hosts else host
