"""`--web` and what goes with it as the address that it means."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from distributed.web.server import WebAddress
from loadproof.cli.token_file import read_token
from loadproof.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

HOST: Final = "127.0.0.1"
PORT: Final = 8089


def web_address(
    *,
    web: bool,
    web_host: str | None,
    web_port: int | None,
    web_token: Path | None,
    autostart: bool,
    autoquit: float | None,
) -> WebAddress | None:
    """None where no web UI is asked for; UsageError for what is nothing without one."""
    given = {
        "--web-host": web_host is not None,
        "--web-port": web_port is not None,
        "--web-token": web_token is not None,
        "--autostart": autostart,
        "--autoquit": autoquit is not None,
    }
    if not web:
        for flag, is_given in given.items():
            if is_given:
                raise UsageError(f"{flag} goes with --web")
        return None
    return WebAddress(
        web_host or HOST,
        PORT if web_port is None else web_port,
        read_token(web_token, "--web-token"),
        autostart=autostart,
        autoquit_s=autoquit,
    )
