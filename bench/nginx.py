"""nginx as the target: a small file, a JSON answer behind a session cookie, the same over TLS, and its own counts."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import processes

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psutil

DESCRIPTORS = 20_000
SMALL = b"small\n" * 20
ACCEPTED = (
    '{"order":{"id":"7d2c1f","status":"accepted","lines":[{"sku":"A-17","quantity":3,"price":1290},'
    '{"sku":"B-4","quantity":1,"price":560}],"total":4430,"currency":"EUR"},"links":{"self":"/orders/7d2c1f"}}'
)
CONFIG = """\
{user}
worker_processes {workers};
worker_rlimit_nofile {descriptors};
daemon off;
pid {folder}/nginx.pid;
error_log stderr error;
events {{ worker_connections {connections}; }}
http {{
    map $status $refused {{ ~^2 0; default 1; }}
    log_format refused '$status $request';
    access_log {folder}/refused.log refused if=$refused;
    default_type application/json;
    keepalive_timeout 1h;
    keepalive_requests 1000000000;
    client_body_buffer_size 16k;
    open_file_cache max=16;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
    server {{
        {listen}
        ssl_certificate {folder}/certificate.pem;
        ssl_certificate_key {folder}/key.pem;
        root {folder}/files;
        location = /status {{ stub_status; }}
        location ~ ^/(counts|gateway/health)$ {{ access_log off; return 404; }}
        location = /login {{ add_header Set-Cookie "session=6f1e; Path=/"; return 200 '{{"user":"u-1"}}'; }}
        location = /orders {{
            if ($cookie_session != "6f1e") {{ return 403; }}
            return 200 '{accepted}';
        }}
    }}
}}
"""


@dataclass
class Nginx:
    """A running nginx; `urls` are its plain addresses, one a port."""

    process: psutil.Popen
    urls: list[str]
    tls_url: str
    certificate: Path

    @property
    def url(self) -> str:
        return self.urls[0]

    def requests(self) -> int:
        """How many it has begun to answer, without those for its status."""
        self._asked += 1
        numbers = re.findall(r"\d+", processes.fetch(f"{self.url}/status").decode())
        return int(numbers[3]) - self._asked

    _asked: int = 0

    def connections(self) -> int:
        """How many are open, without the one that asks."""
        self._asked += 1
        return int(re.findall(r"\d+", processes.fetch(f"{self.url}/status").decode())[0]) - 1

    def refused(self) -> list[str]:
        """Status and request line of every answer so far that was not a 2xx."""
        return (self.certificate.parent / "refused.log").read_text().splitlines()

    def cpu_seconds(self) -> float:
        return processes.cpu_seconds(processes.tree(self.process))


@contextlib.contextmanager
def nginx(*, workers: int = 1, core: int | None = processes.TARGET_CORE, ports: int = 1) -> Iterator[Nginx]:
    """Serve on loopback until the block ends."""
    with tempfile.TemporaryDirectory(prefix="loadproof-bench-") as name:
        folder = Path(name)
        (folder / "files").mkdir()
        (folder / "files" / "small").write_bytes(SMALL)
        make_certificate(folder)
        *plain, tls = processes.free_ports(ports + 1)
        listen = [f"listen 127.0.0.1:{port} reuseport backlog=4096;" for port in plain]
        config = CONFIG.format(
            user="user root;" if os.geteuid() == 0 else "",
            workers=workers,
            descriptors=DESCRIPTORS,
            connections=DESCRIPTORS - 100,
            folder=folder,
            listen="\n        ".join([*listen, f"listen 127.0.0.1:{tls} ssl reuseport backlog=4096;"]),
            accepted=ACCEPTED,
        )
        (folder / "nginx.conf").write_text(config)
        command = ["nginx", "-p", name, "-e", "stderr", "-c", str(folder / "nginx.conf")]
        with processes.running(command, core=core, output=folder / "nginx.log") as process:
            served = Nginx(
                process,
                [f"http://127.0.0.1:{port}" for port in plain],
                f"https://127.0.0.1:{tls}",
                folder / "certificate.pem",
            )
            processes.wait_until("nginx answers", lambda: _answers(served.url), process, 10)
            served._asked = served.requests() + served._asked  # noqa: SLF001 from here on only its own
            yield served


def _answers(url: str) -> bool:
    try:
        processes.fetch(f"{url}/small")
    except OSError:
        return False
    return True


def make_certificate(folder: Path) -> None:
    """A self-signed `certificate.pem` for 127.0.0.1 and its `key.pem`."""
    command = [
        *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
        *("-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"),
        *("-keyout", str(folder / "key.pem"), "-out", str(folder / "certificate.pem")),
    ]
    subprocess.run(command, check=True, capture_output=True)
