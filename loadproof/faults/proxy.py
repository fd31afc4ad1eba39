"""`python -m loadproof.faults.proxy`: stands between workers and target, and disturbs what passes when it is ordered to.

Without an order bytes go on as they came. Orders come as lines of JSON over an abstract Unix socket, from processes of
the same user alone, and each is kept as long as its connection.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import socket
import struct
import sys
from typing import TYPE_CHECKING, Any, Final

from loadproof.faults.carriage import Pair, reset
from loadproof.faults.disturbance import Disturbance

if TYPE_CHECKING:
    from collections.abc import Sequence

BACKLOG: Final = 4096
ACCEPTED_AT_ONCE: Final = 256


class Proxy:
    def __init__(self, listen: tuple[str, int], host: str, port: int, seed: int) -> None:
        """Carries from `listen`, with port 0 from a free one, to `host` and `port`; OSError if it cannot listen there."""
        self._host = host
        self._port = port
        self.disturbance = Disturbance(seed)
        self._pairs: set[Pair] = set()
        self._dials: set[asyncio.Task[None]] = set()
        self._passable = asyncio.Event()
        self._passable.set()
        self._loop = asyncio.get_running_loop()
        found = socket.getaddrinfo(*listen, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        self._family = found[0][0]
        self._address: Any = found[0][4]
        # It keeps the port ours while nothing listens there.
        self._holder = self._bound()
        self._address = self._holder.getsockname()
        self.port: int = self._address[1]
        # Another proxy of the same user could listen there as well, and would get half of our connections.
        self._lock = socket.socket(socket.AF_UNIX)
        self._lock.bind(f"\0loadproof-proxy-{self._address[0]}-{self.port}")
        self._listener: socket.socket | None = None
        self._listen()

    def begin(self, name: str, kind: str, settings: dict[str, Any]) -> None:
        self.disturbance.begin(name, kind, settings)
        match kind:
            case "refuse":
                self._refuse()
            case "reset":
                for pair in list(self._pairs):
                    pair.reset()
            case "half_open":
                for pair in self._pairs:
                    pair.lose_target()
        self._apply()

    def end(self, name: str) -> None:
        self.disturbance.end(name)
        if "half_open" not in self.disturbance.kinds:
            for pair in [pair for pair in self._pairs if pair.is_half_open]:
                pair.reset()
        if "refuse" not in self.disturbance.kinds:
            self._listen()
        self._apply()

    def _apply(self) -> None:
        """To the connections that stand, what holds from now on."""
        if "blackhole" in self.disturbance.kinds:
            self._passable.clear()
        else:
            self._passable.set()
        for pair in list(self._pairs):
            pair.regulate()

    def _listen(self) -> None:
        if self._listener is None:
            self._listener = self._bound()
            self._listener.setblocking(False)
            self._listener.listen(BACKLOG)
            self._loop.add_reader(self._listener, self._accept)

    def _bound(self) -> socket.socket:
        """A socket at our address, which others of ours may share."""
        made = socket.socket(self._family)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        made.bind(self._address)
        return made

    def _refuse(self) -> None:
        if self._listener is not None:
            self._loop.remove_reader(self._listener)
            self._listener.close()
            self._listener = None

    def _accept(self) -> None:
        assert self._listener is not None
        for _ in range(ACCEPTED_AT_ONCE):
            try:
                worker, _address = self._listener.accept()
            except OSError:
                return
            if "reset" in self.disturbance.kinds:
                reset(worker)
                worker.close()
                continue
            worker.setblocking(False)
            dial = self._loop.create_task(self._carry(worker))
            self._dials.add(dial)
            dial.add_done_callback(self._dials.discard)

    async def _carry(self, worker: socket.socket) -> None:
        pair = Pair(self.disturbance, self._pairs.discard)
        await self._loop.connect_accepted_socket(lambda: pair.worker, worker)
        self._pairs.add(pair)
        if "half_open" in self.disturbance.kinds:
            pair.lose_target()
            return
        await self._passable.wait()
        try:
            await self._loop.create_connection(lambda: pair.target, self._host, self._port)
        except OSError:
            pair.reset()


async def _obey(proxy: Proxy, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Until the connection ends, and its orders with it."""
    given: set[str] = set()
    try:
        peer = writer.get_extra_info("socket").getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        if struct.unpack("3i", peer)[1] != os.getuid():
            return
        while line := await reader.readline():
            order = json.loads(line)
            if order["do"] == "begin":
                given.add(order["name"])
                proxy.begin(order["name"], order["kind"], order["settings"])
            else:
                given.discard(order["name"])
                proxy.end(order["name"])
            writer.write(b"done\n")
            await writer.drain()
    except OSError:
        pass
    finally:
        for name in given:
            proxy.end(name)
        writer.close()


async def _serve(
    listen: tuple[str, int], target: tuple[str, int], orders: str, seed: int, lifeline: int
) -> None:
    try:
        proxy = Proxy(listen, *target, seed)
    except OSError as error:
        print(json.dumps({"error": error.strerror}), flush=True)
        return
    ended = asyncio.Event()

    def read_lifeline() -> None:
        if not os.read(lifeline, 4096):
            ended.set()

    asyncio.get_running_loop().add_reader(lifeline, read_lifeline)
    await asyncio.start_unix_server(lambda reader, writer: _obey(proxy, reader, writer), f"\0{orders}")
    print(json.dumps({"port": proxy.port}), flush=True)
    await ended.wait()


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m loadproof.faults.proxy")
    parser.add_argument("--host", required=True, help="of the target")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--listen-host", default="127.0.0.1")
    parser.add_argument("--listen-port", type=int, default=0, help="0 for a free one")
    parser.add_argument("--orders", required=True, help="name of the abstract socket for orders")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--lifeline-fd", type=int, required=True, help="end when this inherited pipe does")
    options = parser.parse_args(arguments)
    # Every connection is two open files here.
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    listen, target = (options.listen_host, options.listen_port), (options.host, options.port)
    asyncio.run(_serve(listen, target, options.orders, options.seed, options.lifeline_fd))
    return 0


if __name__ == "__main__":
    sys.exit(main())
