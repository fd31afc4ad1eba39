"""Which hosts and base URLs a plan may name."""

from __future__ import annotations

import ipaddress
import re
from typing import Final
from urllib.parse import urlsplit

_LABEL: Final = r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)"
# The underscore is no letter of a host name (RFC 952), but container networks resolve names that hold it.
_HOST_NAME: Final = re.compile(rf"{_LABEL}(?:\.{_LABEL})*\.?")
_MAX_HOST_NAME: Final = 253
"""RFC 1035, 2.3.4, without the length bytes."""


def is_host(text: str) -> bool:
    """Whether the text is an IP address or can be the name of a host."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return len(text) <= _MAX_HOST_NAME and _HOST_NAME.fullmatch(text) is not None
    return True


def what_is_wrong_with_url(url: str, *, is_target: bool = True) -> tuple[str, str] | None:
    """What a base URL must be and is not, and the remedy; None if it is fit. A target may be `embedded` too.

    Neither text holds a part of the URL, because that may be a secret.
    """
    example = f"write for example https://{'staging' if is_target else 'prometheus'}.example.test"
    if any(letter.isspace() for letter in url):
        return "must be a URL without blanks", example
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return "has a host or a port that cannot be read", example
    if "@" in parts.netloc:
        return (
            "must not hold a user or a password: they would stand in every report",
            "let the user class send them" if is_target else "put a token into an environment variable",
        )
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        other = "be `embedded` or " if is_target else ""
        return f"must {other}start with http:// or https:// and a host", example
    if not is_host(parts.hostname):
        return "has a host that cannot be read", example
    if "?" in url or "#" in url:
        return "must be a URL without ? and #", example
    return None
