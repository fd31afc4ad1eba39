"""A real nginx on ports of its own, with everything that a client must get right, from a configuration made here."""

from __future__ import annotations

import contextlib
import os
import random
import re
import shutil
import socket
import subprocess
import urllib.request
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from certificates import Authority

LARGE = 50_000_000

CONFIGURATION = """
daemon off;
{user}
pid {folder}/pid;
error_log stderr crit;
events {{ worker_connections 512; }}
http {{
  access_log off;
  default_type application/octet-stream;
  client_body_temp_path {folder}/temp;
  proxy_temp_path {folder}/temp;
  fastcgi_temp_path {folder}/temp;
  uwsgi_temp_path {folder}/temp;
  scgi_temp_path {folder}/temp;
  client_max_body_size 20m;
  root {folder}/files;
  add_header X-Connection $connection always;
  add_header X-Served $connection_requests always;
  gzip_types text/plain;
  gzip_min_length 1;

  server {{
    listen {plain};
    listen {six};
    location / {{ }}
    location /zipped/ {{ gzip on; default_type text/plain; alias {folder}/files/; }}
    location /put/ {{ dav_methods PUT; create_full_put_path on; root {folder}; }}
    location /last/ {{ keepalive_requests 1; alias {folder}/files/; }}
    location = /line {{ return 200 "$request_uri"; }}
    location = /nothing {{ return 204; }}
    location = /teapot {{ return 418 "short and stout"; }}
    location = /waited {{ return 408; }}
    location = /dropped {{ return 444; }}
    location ~ ^/moved/(\\d)$ {{
      return 302 /moved/$1/then;
    }}
    location ~ ^/moved/(\\d)/then$ {{ return 301 $scheme://$http_host/small.txt; }}
    location = /round {{ return 302 /round; }}
  }}
  server {{
    listen {short};
    keepalive_timeout 1s;
    location / {{ }}
  }}
  server {{
    listen {counting};
    location / {{ stub_status; }}
  }}
  server {{
    listen {secure} ssl;
    ssl_certificate {chain};
    ssl_certificate_key {key};
    ssl_session_cache builtin:100;
    add_header X-Server-Name "$ssl_server_name" always;
    add_header X-Reused "$ssl_session_reused" always;
    location / {{ add_header X-Server-Name "$ssl_server_name" always; add_header X-Reused "$ssl_session_reused" always; }}
    location /last/ {{
      keepalive_requests 1; alias {folder}/files/;
      add_header X-Reused "$ssl_session_reused" always;
    }}
    location /put/ {{ dav_methods PUT; create_full_put_path on; root {folder}; }}
    location = /down {{ return 302 http://$http_x_to/small.txt; }}
  }}
  server {{
    listen {mutual} ssl;
    ssl_certificate {chain};
    ssl_certificate_key {key};
    ssl_client_certificate {authority};
    ssl_verify_client on;
    location / {{ add_header X-Client "$ssl_client_s_dn" always; }}
  }}
}}
"""


@dataclass
class Nginx:
    """A running nginx; its URLs have no slash at the end."""

    folder: Path
    ports: dict[str, int]

    def url(self, server: str = "plain", host: str = "127.0.0.1") -> str:
        scheme = "https" if server in {"secure", "mutual"} else "http"
        return f"{scheme}://{host}:{self.ports[server]}"

    def file(self, name: str) -> bytes:
        return (self.folder / "files" / name).read_bytes()

    def counted(self) -> int:
        """Requests that came in since its start, but for those that ask for this."""
        return self._status(r"server accepts handled requests\n \d+ \d+ (\d+)") - self._asked

    def open_connections(self) -> int:
        """Connections that it holds, but for the one that asks."""
        return self._status(r"Active connections: (\d+)") - 1

    _asked: int = 0

    def _status(self, pattern: str) -> int:
        self._asked += 1
        with urllib.request.urlopen(self.url("counting"), timeout=60) as answer:
            found = re.search(pattern, answer.read().decode())
        assert found is not None
        return int(found[1])


@contextlib.contextmanager
def nginx(folder: Path, authority: Authority) -> Iterator[Nginx]:
    """An nginx for the length of the block.

    It inherits sockets that listen already, as in an upgrade of its binary: no port can be taken meanwhile, and
    a connection made before it is ready waits in the backlog.
    """
    files = folder / "files"
    for each in (files, folder / "temp", folder / "put"):
        each.mkdir(parents=True)
    (files / "small.txt").write_bytes(b"small\n")
    (files / "long.txt").write_bytes(b"".join(b"line %d\n" % number for number in range(5_000)))
    (files / "empty").write_bytes(b"")
    (files / "large").write_bytes(random.Random(7).randbytes(LARGE // 50) * 50)
    served = authority.issue("served", "127.0.0.1", "::1", "localhost")
    names = ("plain", "short", "counting", "secure", "mutual")
    sockets = {name: socket.create_server(("127.0.0.1", 0), backlog=256) for name in names}
    sockets["six"] = socket.create_server(("::1", 0), family=socket.AF_INET6, backlog=256)
    ports = {name: each.getsockname()[1] for name, each in sockets.items()}
    addresses = {name: f"127.0.0.1:{port}" for name, port in ports.items()} | {"six": f"[::1]:{ports['six']}"}
    # Its worker would become another user, who may not look into a test's folder.
    user = "user root;" if os.geteuid() == 0 else ""
    configuration = folder / "nginx.conf"
    configuration.write_text(
        CONFIGURATION.format(
            folder=folder,
            user=user,
            chain=served.chain,
            key=served.key,
            authority=authority.file,
            **addresses,
        )
    )
    # Debian leaves the folder of servers out of a user's path.
    program = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
    assert program is not None, "nginx is missing: run .ci/packages"
    descriptors = [each.fileno() for each in sockets.values()]
    with subprocess.Popen(
        [program, "-p", str(folder), "-c", str(configuration), "-e", "stderr"],
        env={**os.environ, "NGINX": "".join(f"{each};" for each in descriptors)},
        pass_fds=descriptors,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        for each in sockets.values():
            each.close()
        try:
            running = Nginx(folder, ports)
            running.counted()
            yield running
        finally:
            process.terminate()
            complaints = process.communicate()[1]
    assert all("[notice]" in line for line in complaints.splitlines() if line), complaints
