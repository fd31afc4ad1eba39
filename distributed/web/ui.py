"""Locust's web UI on a plan: its pages and charts as they are, what they may change as the plan allows, and our tabs."""

from __future__ import annotations

import secrets
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from flask import Response, jsonify, make_response, request, send_file, send_from_directory
from locust import __version__ as locust_version
from locust import stats
from locust.web import WebUI

from distributed.web.gate import BODY_BYTES, CONTENT_POLICY
from distributed.web.runs import FILES, State
from loadproof.plan.profile import first_rise_us
from loadproof.units import duration_text

if TYPE_CHECKING:
    from distributed.web.runs import WebRuns

PAGE: Final = Path(__file__).parent / "page"
TABS: Final = (
    ("regions", "Regions"),
    ("rules", "Rules"),
    ("phases", "Phases & faults"),
    ("accounting", "Accounting"),
)
POLICY: Final = (
    "default-src 'none'; script-src 'self' 'nonce-{nonce}'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "font-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
REPORT_POLICY: Final = (
    "sandbox allow-scripts allow-popups; default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
    "img-src data:; font-src data:; frame-ancestors 'none'"
)
"""A report holds what a target said: in an origin of its own, whatever that was, it can ask us for nothing."""
SAID_S: Final = 8.0
"""How long an answer to a button stays on the page."""
LOADING: Final = """\
<!doctype html><html lang="en"><meta charset="utf-8"><meta http-equiv="refresh" content="1"><title>loadproof</title>
<link rel="icon" href="data:,"><p>The target and the workers are coming up.</p></html>
"""


class PlanWebUI(WebUI):  # type: ignore[misc]  # Locust is not typed
    """Not started: whoever serves `app` puts a `Gate` before it."""

    def __init__(self, runs: WebRuns) -> None:
        self.runs = runs
        self._said = "", -SAID_S
        # Before it may refer to a run: what follows is Locust's own making of its routes.
        super().__init__(runs.environment, "", 0, delayed_start=True)
        app = self.app
        app.debug = False
        app.config["MAX_CONTENT_LENGTH"] = BODY_BYTES
        # Locust lets pages of every origin read what it says.
        app.after_request_funcs.clear()
        self._locust_index = app.view_functions["locust.index"]
        self._locust_requests = app.view_functions["locust.request_stats"]
        app.view_functions |= {
            "locust.index": self._index,
            "locust.request_stats": self._requests,
            "locust.swarm": self._swarm,
            "locust.stop": self._stop,
            "locust.update_user": self._refuse_user,
        }
        app.add_url_rule("/loadproof/live", "live", self._live)
        app.add_url_rule("/loadproof/<path:name>", "page", self._page)
        app.add_url_rule("/runs/<run>/<name>", "file", self._file)

    def update_template_args(self) -> None:
        """What Locust's page begins with: the plan, and none of the options that it would let a browser change."""
        runner, plan = self.environment.runner, self.runs.plan
        rise_s = max(1.0, first_rise_us(plan.load) / 1e6)
        self.template_args = {
            "locustfile": plan.title,
            "state": self.runs.locust_state,
            "is_distributed": True,
            "user_count": runner.user_count,
            "version": locust_version,
            "host": self.runs.plan.target,
            "history": runner.stats.history,
            "override_host_warning": False,
            "missing_host_warning": False,
            "num_users": plan.max_users,
            "spawn_rate": round(plan.max_users / rise_s, 2),
            "worker_count": runner.worker_count,
            "hide_common_options": False,
            "shape_use_common_options": False,
            "stats_history_enabled": False,
            "tasks": "{}",
            "extra_options": {},
            "run_time": duration_text(plan.duration_us),
            "show_userclass_picker": False,
            "available_user_classes": None,
            "available_shape_classes": ["Default"],
            "available_user_tasks": None,
            "users": None,
            "percentiles_to_chart": stats.PERCENTILES_TO_CHART,
            "percentiles_to_statistics": stats.PERCENTILES_TO_STATISTICS,
            "is_host_required": False,
            "profile": None,
            "extended_tabs": [{"key": key, "title": title} for key, title in TABS],
        }

    def _index(self) -> Response:
        if self.environment.runner is None:
            return make_response(LOADING)
        nonce = secrets.token_urlsafe(16)
        page = make_response(self._locust_index())
        text = page.get_data(as_text=True).replace("<script>", f'<script nonce="{nonce}">')
        ours = '<link rel="stylesheet" href="./loadproof/tabs.css"><script src="./loadproof/tabs.js" defer></script>'
        page.set_data(text.replace("</head>", f"{ours}</head>"))
        page.headers[CONTENT_POLICY] = POLICY.format(nonce=nonce)
        return page

    def _requests(self) -> Response:
        answer = self._locust_requests()
        document = answer.get_json()
        document["state"] = self.runs.locust_state
        return jsonify(document)

    def _live(self) -> Response:
        runs = self.runs
        state: str = runs.state
        if runs.said:
            state = f"the run could not begin: {runs.said}"
        elif runs.state is State.PREPARING and runs.workers:
            here, planned = runs.workers
            state = f"waiting for workers: {here} of {planned} are here"
        elif runs.state is State.RUNNING and runs.tabs is not None:
            state = runs.tabs.where()
        return jsonify(
            {
                "title": runs.plan.title,
                "users": runs.plan.max_users,
                "state": state,
                "said": self._said[0] if time.monotonic() - self._said[1] < SAID_S else "",
                "verdict": runs.verdict,
                "tabs": {} if runs.tabs is None else runs.tabs.document(),
                "files": [
                    {"run": name, "files": [file for file in FILES if (folder / file).is_file()]}
                    for name, folder in reversed(runs.folders.items())
                ],
            }
        )

    def _swarm(self) -> Response:
        """Start, or change, what Locust's form asks for; the plan says all of it but the moment."""
        form = request.form
        try:
            said = self._edit(form) if self.runs.goes_on else self._start(form)
        except ValueError as error:
            return self._answer(str(error), success=False)
        return self._answer(said, success=True)

    def _edit(self, form: Any) -> str:
        """Another number of users in the run that goes on; the rate that Locust's form says beside it means nothing."""
        _refuse_unknown(form, {"user_count", "spawn_rate"})
        if "user_count" not in form:
            raise ValueError("a run goes on already")
        try:
            users = int(form["user_count"])
        except ValueError:
            raise ValueError("the number of users is a whole number") from None
        return self.runs.ask_users(users, self._who())

    def _start(self, form: Any) -> str:
        """ValueError for what would make another run of it than the plan's."""
        plan = self.runs.plan
        if form.get("host", "") not in {"", self.runs.plan.target}:
            raise ValueError("the target stands in the plan: start loadproof with --target to load another")
        if form.get("user_count", "") not in {"", str(plan.max_users)}:
            raise ValueError(
                f"the plan has {plan.max_users:,} users: start loadproof with --users for another number"
            )
        if form.get("run_time", "") not in {"", duration_text(plan.duration_us)}:
            raise ValueError(
                f"the plan takes {duration_text(plan.duration_us)}: start loadproof with --duration for another time"
            )
        # Locust's form always says a rate, which the plan's phases say better.
        _refuse_unknown(form, {"host", "user_count", "run_time", "spawn_rate"})
        return self.runs.ask_start()

    def _stop(self) -> Response:
        try:
            said = self.runs.ask_stop(self._who())
        except ValueError as error:
            return self._answer(str(error), success=False)
        return self._answer(said, success=True)

    def _refuse_user(self) -> Response:
        answer: Response = self._answer("user classes are not changed during a plan", success=False)
        answer.status_code = 403
        return answer

    def _who(self) -> str:
        return f"the web UI, from {request.remote_addr}"

    def _answer(self, message: str, *, success: bool) -> Response:
        """As Locust's page expects it, and for a while in the line above that, which shows not every message."""
        self._said = message, time.monotonic()
        return jsonify({"success": success, "message": message, "host": self.runs.plan.target})

    def _page(self, name: str) -> Response:
        return send_from_directory(PAGE, name)

    def _file(self, run: str, name: str) -> Response:
        folder = self.runs.folders.get(run)
        if folder is None or name not in FILES or not (folder / name).is_file():
            return make_response("no such file of a run of this process\n", 404)
        if name != "report.html" or "download" in request.args:
            return send_file(folder.resolve() / name, as_attachment=True, download_name=f"{run}-{name}")
        answer = send_file(folder.resolve() / name)
        answer.headers[CONTENT_POLICY] = REPORT_POLICY
        return answer


def _refuse_unknown(form: Any, known: set[str]) -> None:
    unknown = sorted(key for key, value in form.items() if value and key not in known)
    if unknown:
        raise ValueError(f"not changed during a plan: {', '.join(unknown)[:200]}")
