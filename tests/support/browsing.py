"""A run with the web UI as a user starts it, and the ways in."""

import contextlib
import re
import threading

import httpx
from commands import start, wait_until

PLAN = """\
name: watched
suite: governance
load:
  - {phase: warm, duration: 3s, users: 0..12, warmup: true}
  - {phase: steady, duration: 57s, users: 12}
regions:
  - {name: us-east-1, workers: 1}
  - {name: eu-west-1, workers: 1}
rules:
  - error_ratio <= 1%
  - p95 <= 2s, goal < 1s
seed: 7
"""
LINK = re.compile(r"http://\S+/login\?link=\S+")


class Served:
    """A process with a web UI; its output is read as it comes."""

    def __init__(self, process, folder):
        self.process = process
        self.folder = folder
        self.lines = []
        self._reading = threading.Thread(target=self._read, daemon=True)
        self._reading.start()

    def _read(self):
        self.lines.extend(iter(self.process.stdout.readline, ""))

    def said(self, pattern):
        """The last match of what the process has said, once there is one."""
        found = wait_until(
            lambda: re.findall(pattern, "".join(self.lines)) or self.process.poll() is not None
        )
        assert found is not True, "".join(self.lines)
        return found[-1]

    def link(self):
        return self.said(LINK)

    def log_in(self):
        """A client that a link has let in."""
        link = httpx.URL(self.link())
        client = httpx.Client(base_url=link.copy_with(path="/", query=None), timeout=20)
        client.headers["Origin"] = str(client.base_url).rstrip("/")
        answer = client.get(str(link))
        assert answer.status_code == 303, answer.text
        return client

    def client(self, token):
        """A client that says the token, as scripts do."""
        base = self.said(r"web UI at (http://[^/]+)/")
        return httpx.Client(base_url=base, headers={"Authorization": f"Bearer {token}"}, timeout=20)

    def end(self):
        """Wait for the end of the process; its exit code."""
        code = self.process.wait(240)
        self._reading.join(60)
        return code


@contextlib.contextmanager
def served(folder, *words, plan=PLAN, verb="run", **env):
    """`loadproof run PLAN --web` on a free port, with more words; `plan` is a text or a built-in name."""
    (folder / "watched.yaml").write_text(plan)
    name = "./watched.yaml" if "\n" in plan else plan
    process = start(verb, name, "--web", "--web-port", "0", *words, cwd=folder, **env)
    try:
        yield Served(process, folder)
    finally:
        process.kill()
        process.wait(30)


def live(client):
    return client.get("/loadproof/live").json()


def wait_for_state(client, words):
    """The live document, once its state has these words."""
    return wait_until(lambda: (found := live(client), found if words in found["state"] else None)[1], 60)
