"""One user of each scenario, every task once, with requests and answers shown: does the suite work at all?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from locust.exception import InterruptTaskSet, RescheduleTask, RescheduleTaskImmediately
from locust.user.task import LOCUST_STATE_RUNNING, DefaultTaskSet, TaskSet

from loadproof.client.recording import error_text
from loadproof.units import format_duration

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from loadproof.measure.recorder import Recorder

SHOWN: Final = 400
"""Characters of a body that are printed."""


def run_every_task_once(environment: Any, recorder: Recorder, scenarios: Iterable[str]) -> None:
    """Run scenarios one after another, printing each exchange; a task's exception is recorded and printed."""
    environment.events.request.add_listener(_show)
    for scenario in scenarios:
        _say(f"{scenario}")
        user_class = environment.user_classes_by_name[scenario]
        try:
            user = user_class(environment)
        except Exception as error:  # noqa: BLE001 a scenario may raise anything, and the next one is to run too
            _say(f"  could not be made: {error_text(error)}")
            recorder.task_error(f"{scenario}: {error_text(error)}")
            continue
        recorder.user_started(scenario)
        try:
            user._state = LOCUST_STATE_RUNNING  # noqa: SLF001 what User.run does before its first task
            user._taskset_instance = DefaultTaskSet(user)  # noqa: SLF001
            user.on_start()
            _run_tasks(environment, user, user._taskset_instance, user.tasks)  # noqa: SLF001
            user.on_stop()
        except Exception as error:  # noqa: BLE001 a scenario may raise anything, and the next one is to run too
            _fail(environment, user, error)
        finally:
            recorder.user_stopped(scenario)


def _run_tasks(environment: Any, user: Any, parent: Any, tasks: Sequence[Any]) -> None:
    for task in dict.fromkeys(tasks):
        _say(f"  {getattr(task, '__name__', task)}")
        try:
            if isinstance(task, type) and issubclass(task, TaskSet):
                nested = task(parent)
                nested.on_start()
                _run_tasks(environment, user, nested, nested.tasks)
                nested.on_stop()
            elif isinstance(parent, DefaultTaskSet):
                task(user)
            else:
                task(parent)
        except (InterruptTaskSet, RescheduleTask, RescheduleTaskImmediately):
            continue
        except Exception as error:  # noqa: BLE001
            _fail(environment, user, error)


def _fail(environment: Any, user: Any, error: Exception) -> None:
    _say(f"    raised {error_text(error)}")
    environment.events.user_error.fire(user_instance=user, exception=error, tb=error.__traceback__)


def _show(
    request_type: str,
    name: str,
    response_time: float,
    exception: BaseException | None = None,
    response: Any = None,
    **_rest: Any,
) -> None:
    status = getattr(response, "status_code", None) or "no answer"
    verdict = "" if exception is None else f"  FAILED: {error_text(exception)}"
    label = name if name.startswith(f"{request_type} ") else f"{request_type} {name}"
    _say(f"    {label} -> {status} in {format_duration((response_time or 0) * 1000)}{verdict}")
    request = getattr(response, "request", None)
    for mark, body in ((">", getattr(request, "body", None)), ("<", getattr(response, "text", None))):
        if body:
            text = body.decode("utf-8", "replace") if isinstance(body, bytes) else str(body)
            _say(f"      {mark} {_one_line(text)}")


def _one_line(text: str) -> str:
    line = "".join(character if character.isprintable() else " " for character in text[: SHOWN + 1])
    return line if len(line) <= SHOWN else line[:SHOWN] + " ..."


def _say(line: str) -> None:
    print(line, flush=True)
