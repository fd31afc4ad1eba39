"""`python -m target.server`: the reference system under test as a tree of processes.

The parent binds the socket, forks the server processes that share it, and does nothing but watch: a signal,
its starter's lifeline, a child that dies. Whichever comes, all processes end and the temporary folder is
removed. A child notices its parent's death by itself.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import selectors
import signal
import socket
import sys
import time
import traceback
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from loadproof.errors import ExitCode, UsageError
from target.app import SCHEMA
from target.constitution import constitutional_hash
from target.databases import prepare, redis_url, store_url
from target.folder import make_folder, remove_folder
from target.listener import Post, run_process
from target.switches import Switches, parse_switches

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

BACKLOG: Final = 4096
MOST_PROCESSES: Final = 64
END_S: Final = 4.0
"""A child that has not ended in order by then is killed."""
_ENDING_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass
class _Child:
    pid: int
    pipe: int
    """Gives one byte when the child answers, and ends when it is gone."""
    ready: bool = False


def serve(
    host: str = "127.0.0.1",
    port: int = 0,
    processes: int = 1,
    store: str | None = None,
    lifeline_fd: int | None = None,
    *,
    redis: str | None = None,
    announce_fd: int = 1,
    switches: Sequence[str] = (),
) -> int:
    """Serve until a signal, the end of the lifeline, or the death of a child; the exit code.

    Port 0 takes any free one. `store` is a URL, `sqlite:///absolute/path` or `postgresql://USER@HOST:PORT/DB`;
    None means one that is removed at the end. `redis` is the URL of a Redis for sessions and cache, which are
    in memory for None. When requests are answered, {"url", "pid"} is written to `announce_fd` as one line of JSON. When
    the pipe `lifeline_fd` reaches its end, whoever held its other end is dead, and all leave at once.
    `switches` are planted faults as `NAME=VALUE`, see `target.switches`.

    0 after a signal or the lifeline's end, 1 when a server process died, 2 when the target cannot start; what
    happened is said on stderr. Call it on the main thread of a process without other threads: it forks.
    """
    try:
        target = _Target(
            host, port, processes, store, redis, switches, lifeline=lifeline_fd, announce=announce_fd
        )
        return target.run()
    except UsageError as error:
        print(f"target: {error}", file=sys.stderr)
        return ExitCode.USAGE


class _Target:
    def __init__(
        self,
        host: str,
        port: int,
        processes: int,
        store: str | None,
        redis: str | None,
        switches: Sequence[str],
        *,
        lifeline: int | None,
        announce: int,
    ) -> None:
        if not 1 <= processes <= MOST_PROCESSES:
            raise UsageError(f"--processes {processes}: choose 1 to {MOST_PROCESSES}")
        self._socket = _bind(host, port)
        self._host = host
        self._processes = processes
        self._store = store
        self._redis = redis
        self._switches = switches
        self._lifeline = lifeline
        self._announce = announce
        self._children: list[_Child] = []

    def run(self) -> int:
        with self._socket, _signals() as signals:
            try:
                folder = make_folder()
            except OSError as error:
                raise UsageError(f"no temporary folder can be made: {error}; set TMPDIR to another") from None
            try:
                self._start(folder)
                return self._watch(signals)
            finally:
                self._kill()
                remove_folder(folder)

    def _start(self, folder: Path) -> None:
        served = constitutional_hash()
        url = store_url(self._store, folder)
        redis = redis_url(self._redis)
        identity = prepare(url, SCHEMA)
        Switches(folder).set(parse_switches(self._switches))
        # This process alone keeps `held` open, to its end; then every child reads the end of `alive`.
        alive, held = os.pipe()
        for number in range(self._processes):
            pipe, ready = os.pipe()
            post = Post(
                self._socket,
                folder,
                url,
                identity,
                redis,
                served,
                number,
                self._processes,
                alive,
                ready,
            )
            sys.stdout.flush()
            sys.stderr.flush()
            pid = os.fork()
            if pid == 0:
                os.close(held)
                _be_child(post, [pipe, *(child.pipe for child in self._children)])
            os.close(ready)
            self._children.append(_Child(pid, pipe))
        os.close(alive)

    def _watch(self, signals: socket.socket) -> int:
        with selectors.DefaultSelector() as selector:
            selector.register(signals, selectors.EVENT_READ)
            if self._lifeline is not None:
                self._watch_lifeline(selector, self._lifeline)
            for child in self._children:
                selector.register(child.pipe, selectors.EVENT_READ, child)
            while True:
                for key, _ in selector.select():
                    if key.fileobj is signals:
                        return self._end(signals)
                    if key.fd == self._lifeline:
                        if not os.read(key.fd, 4096):
                            return ExitCode.OK
                    elif os.read(key.fd, 1):
                        key.data.ready = True
                        if all(child.ready for child in self._children) and not self._say_ready():
                            return ExitCode.OK
                    else:
                        return self._report_death(key.data)

    def _watch_lifeline(self, selector: selectors.BaseSelector, lifeline: int) -> None:
        try:
            selector.register(lifeline, selectors.EVENT_READ)
        except (OSError, ValueError) as error:
            raise UsageError(f"--lifeline-fd {lifeline} is not the read end of a pipe: {error}") from None

    def _say_ready(self) -> bool:
        """False when nobody reads any more: the starter is gone."""
        port = self._socket.getsockname()[1]
        host = f"[{self._host}]" if ":" in self._host else self._host
        line = json.dumps({"url": f"http://{host}:{port}", "pid": os.getpid()})
        try:
            os.write(self._announce, line.encode() + b"\n")
        except BrokenPipeError:
            return False
        except OSError as error:
            raise UsageError(f"--announce-fd {self._announce} cannot be written: {error}") from None
        return True

    def _end(self, signals: socket.socket) -> int:
        """Let requests in flight finish; a further signal ends it at once."""
        signals.recv(64)
        for child in self._children:
            os.kill(child.pid, signal.SIGTERM)
        deadline = time.monotonic() + END_S
        with selectors.DefaultSelector() as selector:
            selector.register(signals, selectors.EVENT_READ)
            for child in self._children:
                selector.register(child.pipe, selectors.EVENT_READ)
            while len(selector.get_map()) > 1 and (left := deadline - time.monotonic()) > 0:
                for key, _ in selector.select(left):
                    if key.fileobj is signals:
                        return ExitCode.OK
                    if not os.read(key.fd, 1):
                        selector.unregister(key.fd)
        return ExitCode.OK

    def _report_death(self, child: _Child) -> int:
        _, status = os.waitpid(child.pid, 0)
        code = os.waitstatus_to_exitcode(status)
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with status {code}"
        self._children.remove(child)
        os.close(child.pipe)
        print(f"target: server process {child.pid} {how}; the target ends", file=sys.stderr)
        return ExitCode.INTERNAL

    def _kill(self) -> None:
        for child in self._children:
            # Not yet waited for, so its id is still its own, alive or not.
            os.kill(child.pid, signal.SIGKILL)
            os.waitpid(child.pid, 0)
            os.close(child.pipe)


def _be_child(post: Post, foreign: list[int]) -> None:
    """Never returns: what is further up the stack belongs to the parent."""
    code = 1
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        for pipe in foreign:
            os.close(pipe)
        code = run_process(post)
    except BaseException:  # noqa: BLE001 the last frame of this process
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def _bind(host: str, port: int) -> socket.socket:
    if not 0 <= port <= 65535:
        # getaddrinfo would take it modulo 65,536.
        raise UsageError(f"--port {port}: choose 0 to 65535")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except (OSError, UnicodeError) as error:
        raise UsageError(f"--host {host} --port {port}: {error}") from None
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise UsageError(
            f"cannot listen on {host} port {port}: {error.strerror}; --port 0 takes any free one"
        ) from None
    return listener


@contextlib.contextmanager
def _signals() -> Iterator[socket.socket]:
    """A socket that becomes readable when we are asked to end; the former handlers come back after it."""
    reader, writer = socket.socketpair()
    with reader, writer:
        reader.setblocking(False)
        writer.setblocking(False)
        former_fd = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
        former = {number: signal.signal(number, lambda *_: None) for number in _ENDING_SIGNALS}
        try:
            yield reader
        finally:
            for number, handler in former.items():
                signal.signal(number, handler)
            signal.set_wakeup_fd(former_fd)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m target.server", description="The reference target.")
    parser.add_argument("--host", default="127.0.0.1", help="where to listen (default: %(default)s)")
    parser.add_argument("--port", type=int, default=0, help="0 takes any free port (default)")
    parser.add_argument("--processes", type=int, default=1, help="server processes (default: %(default)s)")
    parser.add_argument(
        "--store",
        help="sqlite:///absolute/path or postgresql://USER@HOST:PORT/DATABASE (default: a temporary file)",
    )
    parser.add_argument("--redis", help="redis://HOST:PORT/0 for sessions and cache (default: in memory)")
    parser.add_argument("--lifeline-fd", type=int, help="end when this inherited pipe reaches its end")
    parser.add_argument("--announce-fd", type=int, default=1, help="where to write the URL (default: stdout)")
    parser.add_argument(
        "--switch",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a planted fault, such as slow=200ms or wrong_hash=3; may be given several times",
    )
    options = parser.parse_args(arguments)
    return serve(
        options.host,
        options.port,
        options.processes,
        options.store,
        options.lifeline_fd,
        redis=options.redis,
        announce_fd=options.announce_fd,
        switches=options.switch,
    )


if __name__ == "__main__":
    sys.exit(main())
