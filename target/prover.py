"""Z3 in a bounded pool of native threads: problems in, solutions out, the event loop never waits.

Each thread has a context of its own, as Z3 asks for, and hands it a problem as text in one call, during which
the interpreter is free for the event loop. In an incremental session, a level pushed for each problem and
popped before the next, a problem takes 0.1 to 0.3 ms; with a new solver each or with terms built in Python it
took 0.5 to 3.
"""

from __future__ import annotations

import asyncio
import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import z3

from target.obligation import IntegerVariable

if TYPE_CHECKING:
    from target.obligation import Problem, Values

THREADS: Final = 2
LIMIT_MS: Final = 500
"""Wall-clock time of one problem; then Z3 gives up."""
MOST_WAITING: Final = 2_048
CONTEXT_PROBLEMS: Final = 10_000
"""After so many a thread takes a new context (10 ms): what Z3 keeps for a problem, some 100 bytes, adds up."""
_VALUE: Final = re.compile(r"\(v\d+ (?:\(- (\d+)\)|(\w+))\)")


class BusyError(Exception):
    """MOST_WAITING problems wait already."""


@dataclass(frozen=True)
class Solution:
    satisfiable: bool | None
    """None when the time limit came first."""
    values: Values | None
    """An assignment that makes every formula true, where there is one."""
    solver_us: int
    """CPU time of the thread, µs: what the problem cost, however busy the machine is."""


class Prover:
    """Belongs to one process; its threads start with their first problem."""

    def __init__(self, limit_ms: int = LIMIT_MS) -> None:
        self._limit_ms = limit_ms
        self._pool = ThreadPoolExecutor(THREADS, "prover")
        self._own = threading.local()
        self._waiting = 0

    async def solve(self, problem: Problem) -> Solution:
        """Raises BusyError."""
        if self._waiting >= MOST_WAITING:
            raise BusyError
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, self._solve, problem)
        finally:
            self._waiting -= 1

    def _solve(self, problem: Problem) -> Solution:
        context = self._context()
        started = time.thread_time_ns()
        try:
            # What is left of the problem before is popped here: that saves a call, and with it a wait for
            # the interpreter's lock.
            found = _call(context, f"(pop)(push){problem.script}(check-sat)")
            names = "" if found != "sat" else " ".join(f"v{at}" for at in range(len(problem.variables)))
            values = _values(problem, _call(context, f"(get-value ({names}))")) if names else {}
        except BaseException:
            # Who knows what state it is in.
            del self._own.context
            raise
        solver_us = (time.thread_time_ns() - started) // 1_000
        if found != "sat":
            return Solution(False if found == "unsat" else None, None, solver_us)
        if not problem.satisfied_by(values):
            raise AssertionError(f"Z3's model {values} is none of {problem.script}")
        return Solution(True, values, solver_us)

    def _context(self) -> z3.Context:
        """The calling thread's, with one level pushed."""
        context: z3.Context | None = getattr(self._own, "context", None)
        if context is None or self._own.problems >= CONTEXT_PROBLEMS:
            # The limit of `Context(timeout=...)` is not that of commands.
            context = z3.Context()
            _call(context, f"(set-option :timeout {self._limit_ms})(push)")
            self._own.context = context
            self._own.problems = 0
        self._own.problems += 1
        return context


def _call(context: z3.Context, commands: str) -> str:
    """Z3's answer to SMT-LIB commands; raises Z3Exception with its message."""
    text: str = z3.Z3_eval_smtlib2_string(context.ref(), commands)
    return text.strip()


def _values(problem: Problem, text: str) -> Values:
    """`((v0 7) (v1 (- 5)) (v2 true))` as the variables' values, which are in their order."""
    values: Values = {}
    for (name, variable), (negative, other) in zip(
        problem.variables.items(), _VALUE.findall(text), strict=True
    ):
        if isinstance(variable, IntegerVariable):
            values[name] = -int(negative) if negative else int(other)
        else:
            values[name] = other == "true"
    return values
