"""Run as a program: drives stock and own users against a small server and prints what was recorded, as JSON.

Recording wraps Locust's classes for the whole process, so each look at it takes a process of its own.
"""

import json
import sys

import locust
from gevent import Timeout, pywsgi, sleep, spawn
from locust import FastHttpUser, HttpUser
from locust.env import Environment

from loadproof.client.recording import start_recording
from loadproof.client.user import LoadUser
from loadproof.measure.recorder import Recorder

SEEN = []


def answer(environ, start_response):
    SEEN.append((environ["PATH_INFO"], environ.get("HTTP_LOADPROOF_RUN")))
    path = environ["PATH_INFO"]
    if path == "/hang":
        sleep(60)
    if path == "/redirect":
        start_response("302 Found", [("Location", "/ok"), ("Content-Length", "0")])
        return [b""]
    status = "500 Broken" if path == "/broken" else "200 OK"
    start_response(status, [("Content-Type", "application/json"), ("Content-Length", "2")])
    return [b"{}"]


def scenario(user, dead_port):
    client = user.client
    client.get("/ok", name="GET /ok")
    client.get("/broken")
    client.get("/redirect")
    with client.get("/ok", name="marked", catch_response=True) as response:
        response.failure("not as wanted")
    with client.get("/broken", name="forgiven", catch_response=True) as response:
        response.success()
    try:
        with client.get("/ok", name="raised", catch_response=True):
            raise ValueError("the scenario's own")
    except ValueError:
        pass
    client.get(f"http://127.0.0.1:{dead_port}/ok", name="refused")
    options = {"timeout": 0.2} if isinstance(user, HttpUser) else {}
    if isinstance(user, HttpUser):
        client.get("/hang", name="slow", **options)
    hung = spawn(client.get, "/hang", name="hung")
    sleep(0.3)
    hung.kill()


def main(kind):
    server = pywsgi.WSGIServer(("127.0.0.1", 0), answer, log=None)
    server.start()
    dead = pywsgi.WSGIServer(("127.0.0.1", 0), answer, log=None)
    dead.start()
    dead_port = dead.server_port
    dead.stop()
    classes = {"HttpUser": HttpUser, "FastHttpUser": FastHttpUser, "LoadUser": LoadUser}

    class Scenario(classes[kind]):
        host = f"http://127.0.0.1:{server.server_port}"

    environment = Environment(user_classes=[Scenario], events=locust.events)
    now = {"us": 0}

    def clock():
        now["us"] += 1
        return now["us"]

    recorder = Recorder((50_000,), clock, [("steady", 0)])
    start_recording(environment, recorder, "run-1")
    user = Scenario(environment)
    with Timeout(20):
        scenario(user, dead_port)
    environment.events.request.fire(
        request_type="GRPC",
        name="plugin",
        response_time=12.3456,
        response_length=9,
        exception=None,
        context={},
    )
    in_flight = recorder.in_flight
    interval = recorder.close_interval()
    json.dump(
        {
            "series": {
                f"{key.method} {key.name} {key.outcome}": [
                    series.histogram.count,
                    series.histogram.min,
                    key.scenario,
                ]
                for key, series in interval.series.items()
            },
            "exchanges": {
                f"{key.method} {key.name}": [value.answered, value.unanswered]
                for key, value in interval.exchanges.items()
            },
            "errors": {f"{key.name}: {key.message}": count for key, count in interval.errors.items()},
            "started": interval.started,
            "in_flight": in_flight,
            "untracked": interval.untracked,
            "run_headers": sorted({header for _, header in SEEN if header is not None}),
            "without_header": sum(1 for _, header in SEEN if header is None),
        },
        sys.stdout,
    )


if __name__ == "__main__":
    main(sys.argv[1])
