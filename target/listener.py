"""One server process: uvicorn on the shared socket, and a guard that leaves when the parent is gone."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import resource
import signal
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from target.accounts import Accounts
from target.answers import error_body
from target.app import build_app
from target.components import Components
from target.constitution import HEADER_BYTES
from target.counts import RunCounts
from target.databases import open_caches, open_store
from target.folder import remove_folder
from target.gateway import VERSION
from target.metrics import Metrics
from target.switched_store import SwitchedStore
from target.switches import Switches

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator
    from pathlib import Path

DRAIN_S: Final = 3
"""How long requests in flight may take when the target ends in order."""
KEEP_ALIVE_S: Final = 75
"""Longer than users pause, so that a kept connection is rarely closed under a request."""


@dataclass(frozen=True)
class Post:
    """What a server process is given."""

    socket: socket.socket
    folder: Path
    store: str
    """URL of the store."""
    identity: str
    """The store's name for itself."""
    redis: str | None
    """URL of the Redis with sessions and cache; None keeps them in the process."""
    constitutional_hash: str
    process: int
    processes: int
    parent: int
    """Read end of a pipe that only the parent holds open for writing."""
    ready: int
    """Where to write one byte when requests are answered."""


def run_process(post: Post) -> int:
    """Serve until SIGTERM; the exit code. The parent alone hears of SIGINT and tells us."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    _raise_file_limit()
    threading.Thread(target=_leave_with_parent, args=(post,), name="guard", daemon=True).start()
    metrics = Metrics(post.folder, post.process, post.processes)
    counts = RunCounts(post.folder, post.process, post.processes)
    switches = Switches(post.folder)
    store = SwitchedStore(lambda: open_store(post.store, metrics.group), switches)
    sessions, cache = open_caches(post.redis, metrics, post.identity, post.constitutional_hash, VERSION)
    components = Components(post.folder, switches, cache, Accounts(store))
    # Nothing is wrong when a client sends nonsense; defects are logged as errors.
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
    _Protocol.served = post.constitutional_hash
    config = uvicorn.Config(
        build_app(
            store,
            sessions,
            cache,
            counts,
            metrics,
            switches,
            post.constitutional_hash,
            components,
        ),
        loop="uvloop",
        http=_Protocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=DRAIN_S,
    )
    gc.collect()
    gc.freeze()
    _Server(config, post, components).run(sockets=[post.socket])
    store.close()
    return 0


def _raise_file_limit() -> None:
    """A connection is an open file, and the soft limit is often 1,024."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _leave_with_parent(post: Post) -> None:
    """A native thread: it runs although the event loop is blocked."""
    os.read(post.parent, 1)
    remove_folder(post.folder)
    os._exit(1)


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, post: Post, components: Components) -> None:
        super().__init__(config)
        self._post = post
        self._components = components
        self._keeping: asyncio.Task[None] | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._keeping = asyncio.create_task(self._components.keep())
        os.write(self._post.ready, b".")

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        # A request that outlasts DRAIN_S is cancelled; its traceback would tell of no defect.
        logging.getLogger("uvicorn.error").disabled = True
        await super().shutdown(sockets)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """The overridden one raises the signal again at its end, which would hide our exit code."""
        signal.signal(signal.SIGTERM, self.handle_exit)
        yield


class _Protocol(HttpToolsProtocol):
    """Answers that are made before there is an ASGI request name the constitution and have our form of errors."""

    served: str
    """The constitutional hash, as this process serves one only."""

    def send_400_response(self, msg: str) -> None:
        body = error_body("malformed_http", msg, self.served)
        head = [b"HTTP/1.1 400 Bad Request\r\n"]
        head += [b"%s: %s\r\n" % header for header in self.server_state.default_headers]
        head.append(b"%s: %s\r\n" % (HEADER_BYTES, self.served.encode()))
        head.append(b"content-type: application/json\r\ncontent-length: %d\r\n" % len(body))
        head.append(b"connection: close\r\n\r\n")
        self.transport.write(b"".join(head) + body)
        self.transport.close()

    def _unsupported_upgrade_warning(self) -> None:
        """The request is answered as if it had asked for no upgrade; the parser reads no further one."""
        self.cycle.keep_alive = False
