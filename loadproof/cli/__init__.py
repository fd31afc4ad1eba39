"""The command line: one file a verb, and this table of contents."""

from __future__ import annotations

import errno
import os
import sys
from importlib.metadata import version
from typing import Annotated

import typer

from loadproof.cli import (
    compare,
    dashboards,
    keys,
    master,
    plans,
    recover,
    report,
    run,
    runs,
    stop,
    target,
    trend,
    validate,
    worker,
)
from loadproof.errors import ExitCode, LoadproofError

app = typer.Typer(
    name="loadproof",
    help="Load tests whose verdict can be trusted: PASS, WARN, FAIL or INVALID, with the evidence.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("run", short_help="Run a plan, judge it and write the reports.")(run.run)
app.command("plans", short_help="List the built-in plans.")(plans.plans)
app.command("validate", short_help="Explain a plan, or report every mistake in it.")(validate.validate)
app.command("target", short_help="Serve the reference target.")(target.target)
app.command("report", short_help="Judge a run folder, again or for the first time.")(report.report)
app.command("compare", short_help="Tell whether a run is better or worse than others.")(compare.compare)
app.command("trend", short_help="Show how runs went over time, and since when.")(trend.trend)
app.add_typer(runs.runs, name="runs")
app.command("stop", short_help="Stop a run that goes on.")(stop.stop)
app.command("recover", short_help="Put a run whose master died together again.")(recover.recover)
app.command("keys", short_help="Make the keys of a master and its workers.")(keys.keys)
app.command("dashboards", short_help="Write Grafana dashboards.")(dashboards.dashboards)
app.command("master", short_help="Run a plan with workers on other hosts.")(master.master)
app.command("worker", short_help="Join a master with this host.")(worker.worker)


_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EIO}
"""What a write says of a disk, with no file's name where it was standard output."""


def _show_version(asked: bool) -> None:
    if asked:
        print(f"loadproof {version('loadproof')} (locust {version('locust')})")
        raise typer.Exit


@app.callback()
def _options(
    _version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run the command line; every way out is an exit code of `loadproof.errors.ExitCode`."""
    # It stops gevent from patching Python, so that the first wait of one user would be a wait of all.
    os.environ.pop("LOCUST_SKIP_MONKEY_PATCH", None)
    try:
        code = app(standalone_mode=False)
        if sys.stdout is not None:
            sys.stdout.flush()
    except typer.Abort:
        code = ExitCode.SIGINT
    except typer.TyperException as error:
        error.show()  # type: ignore[attr-defined]  # each that a command line can raise has it
        code = ExitCode.USAGE
    except LoadproofError as error:
        print(f"loadproof: {error}", file=sys.stderr)
        code = error.exit_code
    except KeyboardInterrupt:
        code = ExitCode.SIGINT
    except BrokenPipeError:
        # The reader of our output is gone (`loadproof plans | head`): what was not read cannot count as OK.
        _say_no_more()
        code = ExitCode.INTERNAL
    except OSError as error:
        if error.filename is not None or error.errno not in _FULL:
            raise
        print(f"loadproof: the output cannot be written: {error.strerror}; free space there", file=sys.stderr)
        _say_no_more()
        code = ExitCode.INTERNAL
    sys.exit(int(code or 0))


def _say_no_more() -> None:
    """What is left in the buffer cannot be written either; Python would try, and complain, on its way out."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
