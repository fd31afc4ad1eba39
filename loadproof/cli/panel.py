"""The live panel of a run on a terminal, and plain lines where there is none."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from loadproof.cli.keyboard import Keyboard
from loadproof.units import format_count, format_duration, format_rate, format_ratio

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from distributed.live import View

REDRAW_S: Final = 0.5
LINE_S: Final = 5.0
STOP_KEY: Final = "s"


class LivePanel:
    """Shows Views: a panel that redraws itself on a terminal, else one line every five seconds."""

    def __init__(self, title: str, duration_us: int, console: Console, *, quiet: bool) -> None:
        self._title = title
        self._duration_us = duration_us
        self._console = console
        self._quiet = quiet
        self._drawn: float | None = None
        self._live = (
            Live(console=console, auto_refresh=False, transient=True)
            if console.is_terminal and not quiet
            else None
        )
        self._keyboard = Keyboard()

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
            self._keyboard.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._keyboard.__exit__(kind, error, trace)
            self._live.stop()

    def show(self, view: View) -> bool:
        """True when the reader has pressed the key that ends the run."""
        wants_end = STOP_KEY in self._keyboard.pressed()
        now = time.monotonic()
        pause = REDRAW_S if self._live is not None else LINE_S
        if self._quiet or (self._drawn is not None and now - self._drawn < pause):
            return wants_end
        self._drawn = now
        if self._live is not None:
            self._live.update(self._draw(view), refresh=True)
        else:
            self._console.print(_line(view), markup=False, highlight=False, soft_wrap=True)
        return wants_end

    def _draw(self, view: View) -> Panel:
        figures = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="dim")
        for heading in ("users", "ok", "P95", "P99", "errors", "own lag P99"):
            figures.add_column(heading)
        figures.add_row(
            f"{view.users:,} of {view.users_planned:,}",
            Text(format_rate(view.rate_per_s), style="bold"),
            Text(format_duration(view.p95_us), style="bold"),
            format_duration(view.p99_us),
            Text(_errors(view), style="red" if view.failures else "green"),
            _lag(view),
        )
        workers = Text("workers  ", style="dim")
        for region, (up, planned) in view.workers.items():
            workers.append(f"{region} {up}/{planned}  ", style="default" if up == planned else "bold red")
        # A bar ends without a newline; in a row of its own it gets one.
        bar = Table.grid(expand=True)
        bar.add_row(
            ProgressBar(total=max(1, self._duration_us), completed=min(view.at_us, self._duration_us))
        )
        parts: list[Text | Table] = [
            Text(_phase(view)),
            bar,
            figures,
            workers,
        ]
        if view.dropped:
            parts.append(Text(f"dropped starts  {format_count(view.dropped)}", style="bold red"))
        if view.search is not None:
            parts.append(Text(f"search  {view.search}", style="bold"))
        parts += [Text(f"broken on purpose  {line}", style="bold yellow") for line in view.faults]
        if view.trouble:
            parts += [Text(f"in trouble  {line}", style="bold red") for line in view.trouble[:6]]
        elif view.requests:
            parts.append(Text("no rule in trouble", style="green"))
        return Panel(
            Group(*parts),
            title=f"loadproof {self._title}",
            title_align="left",
            subtitle=_keys(view),
            padding=(0, 1),
        )


def _keys(view: View) -> str:
    what = "ends what is in flight too" if view.draining else "stops the run in order"
    return f"[dim]{STOP_KEY} {what}[/dim]"


def _phase(view: View) -> str:
    if view.draining:
        return "draining: users finish what they have begun"
    return f"phase {view.phase}   {format_duration(view.left_us)} left"


def _errors(view: View) -> str:
    ratio = view.failures / view.requests if view.requests else None
    return f"{format_count(view.failures)} ({format_ratio(ratio)})"


def _lag(view: View) -> str:
    """Of the generator itself; the latencies beside it are free of it."""
    return f"{format_duration(view.pacer_lag_us)} to start, {format_duration(view.receive_lag_us)} to receive"


def _line(view: View) -> str:
    workers = sum(up for up, _ in view.workers.values())
    planned = sum(planned for _, planned in view.workers.values())
    text = (
        f"{view.at_us / 1_000_000:6.0f} s  {_phase(view)}  users {view.users}/{view.users_planned}  "
        f"{format_rate(view.rate_per_s)} ok  P95 {format_duration(view.p95_us)}  "
        f"P99 {format_duration(view.p99_us)}  errors {_errors(view)}  own lag {_lag(view)}  "
        f"workers {workers}/{planned}"
    )
    if view.dropped:
        text += f"  dropped starts {format_count(view.dropped)}"
    if view.search is not None:
        text += f"\n          search: {view.search}"
    text += "".join(f"\n          broken on purpose: {line}" for line in view.faults)
    return text + "".join(f"\n          in trouble: {line}" for line in view.trouble)
