"""HOST and HOST:PORT, as flags take them."""

from __future__ import annotations

import ipaddress
import re
from typing import Final

from loadproof.errors import UsageError

_FORM: Final = re.compile(r"\[([0-9A-Fa-f:.%\w]+)\](?::(\d{1,5}))?|([^:\s]+)(?::(\d{1,5}))?|([0-9A-Fa-f:]+)")


def host_and_port(flag: str, text: str) -> tuple[str, str | None]:
    """The digits of the port, if there is one; an IPv6 address with a port stands in brackets.

    UsageError for anything else, in the flag's name.
    """
    match = _FORM.fullmatch(text)
    if match is None:
        raise UsageError(f"{flag} {text}: write a host and perhaps a port, such as 10.0.0.5:5557")
    return match[1] or match[3] or match[5], match[2] or match[4]


def port_number(told: str, digits: str) -> int:
    """From 1 to 65535; UsageError, which says what was told, for any other text."""
    port = int(digits) if digits.isascii() and digits.isdigit() else 0
    if not 0 < port < 65536:
        raise UsageError(f"{told}: a port is a number from 1 to 65535, such as 5557")
    return port


def fault_proxy_at(text: str) -> tuple[str, int]:
    """`--fault-proxy HOST[:PORT]`: port 0 is a free one; UsageError for what is no address that a worker could dial."""
    told = f"--fault-proxy {text}"
    host, digits = host_and_port("--fault-proxy", text)
    try:
        is_everywhere = ipaddress.ip_address(host).is_unspecified
    except ValueError:
        is_everywhere = False
    if is_everywhere:
        raise UsageError(f"{told}: workers dial it, so name one address of this machine that they reach")
    return host, 0 if digits is None else port_number(told, digits)
