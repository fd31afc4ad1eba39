"""Locust's runners without what they would do by themselves: what is left of them waits for ours to speak."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, Final

from locust.runners import MasterRunner, WorkerRunner

if TYPE_CHECKING:
    from collections.abc import Iterator

    from locust.env import Environment

HEARD: Final = ("request", "quitting", "report_to_master", "worker_report")
"""Events that Locust's runners listen to themselves: to count, to end the run, to send statistics."""


class QuietMaster(MasterRunner):  # type: ignore[misc]  # Locust's runners are not typed
    """Decides nothing: neither who is gone, nor how many users run, nor when the run is over."""

    def __init__(self, environment: Environment) -> None:
        with _own_listeners_only(environment):
            super().__init__(environment, "127.0.0.1", 0)

    def heartbeat_worker(self) -> None:
        """A silent worker's load stays with it: its lease decides, not three missed beats."""

    def check_stopped(self) -> None:
        """The run is over when every journal is, not when states look alike."""

    def reset_connection(self) -> None:
        """ZeroMQ reconnects by itself; closing the socket would lose who is who."""

    def start(self, *_args: Any, **_options: Any) -> None:
        """The plan decides how many users run."""

    def stop(self, send_stop_to_client: bool = True) -> None:  # noqa: ARG002 as Locust calls it
        self.quit()


class QuietWorker(WorkerRunner):  # type: ignore[misc]  # as above
    """Says nothing of its own, and trusts no wall clock."""

    def __init__(self, environment: Environment, name: str) -> None:
        self._name = name
        with _own_listeners_only(environment, "user_error"):
            super().__init__(environment, "", 0)

    @property
    def client_id(self) -> str:
        """Who speaks is known by the key; Locust makes up a name for each process instead."""
        return self._name

    @client_id.setter
    def client_id(self, _made_up: str) -> None:
        pass

    def connect_to_master(self) -> None:
        """`heartbeat` says hello on every connection; the master's next word is a placement or a refusal."""

    def heartbeat_timeout_checker(self) -> None:
        """A silent master does not end a worker: the plan's end and the lifeline do."""

    def stats_reporter(self) -> None:
        """Statistics travel as intervals."""

    def logs_reporter(self) -> None:
        """Logs go to the run's folder."""

    def reset_connection(self) -> None:
        """ZeroMQ reconnects by itself, and what is not acknowledged is sent again."""

    def stop(self) -> None:
        self.quit()


@contextlib.contextmanager
def _own_listeners_only(environment: Environment, *more: str) -> Iterator[None]:
    """Take out again what a runner hangs meanwhile on HEARD and more events; what a locustfile has hung there stays."""
    hooks = [getattr(environment.events, event) for event in (*HEARD, *more)]
    before = [list(hook._handlers) for hook in hooks]  # noqa: SLF001 Locust has no other way to take a listener out
    yield
    for hook, handlers in zip(hooks, before, strict=True):
        hook._handlers = handlers  # noqa: SLF001
