"""The target as a tree of processes: it starts, says where it is, and leaves nothing behind."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from serving import HEADERS, POLICY, ROOT, freeze, launch, serving, start


def gone(pids: list[int]) -> list[int]:
    """Handles that become readable when the processes end; to be made while they live."""
    return [os.pidfd_open(pid) for pid in pids]


def wait_all(handles: list[int]) -> None:
    for handle in handles:
        ready, _, _ = select.select([handle], [], [], 90)
        os.close(handle)

        assert ready


def pending(pid: int, number: int) -> bool:
    """Whether the signal was sent to the process and it has not taken it yet."""
    status = Path(f"/proc/{pid}/status").read_text()
    mask = int(status.partition("ShdPnd:")[2].split()[0], 16)
    return bool(mask >> (number - 1) & 1)


def left_behind(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if path.name.startswith("loadproof-")]


def test_answers_when_it_says_so(tmp_path):
    """The announced URL answers at once, with as many server processes as were asked for."""
    with serving("--processes", "2", folder=tmp_path) as served:
        answer = httpx.get(served.url + "/gateway/health")

        assert answer.status_code == 200
        assert answer.json()["status"] == "ok"
        assert served.pid == served.process.pid
        assert len(served.processes()) == 3


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_it_in_order(tmp_path, number):
    """After SIGTERM, SIGINT or SIGHUP: exit 0, nothing on stderr, no process and no file left."""
    served = start("--processes", "2", folder=tmp_path)
    handles = gone(served.processes()[1:])
    httpx.post(served.url + "/policies", json=POLICY, headers=HEADERS)

    assert served.end(number) == 0
    assert served.process.communicate() == (b"", b"")
    wait_all(handles)
    assert left_behind(tmp_path) == []
    with pytest.raises(httpx.ConnectError):
        httpx.get(served.url + "/gateway/health")


def test_requests_in_flight_are_finished(tmp_path):
    """A request whose body is still coming when SIGTERM arrives is answered."""
    with serving(folder=tmp_path) as served:
        body = httpx.Request("POST", "http://t", json=POLICY).content
        with socket.create_connection(("127.0.0.1", httpx.URL(served.url).port)) as connection:
            connection.sendall(
                b"POST /policies HTTP/1.1\r\nHost: t\r\nX-Constitutional-Hash: cdd01ef066bc6cf2\r\n"
                b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(body)
            )
            # The interim answer comes when the handler waits for the body: the request is in flight now.
            assert connection.recv(4096).startswith(b"HTTP/1.1 100")
            served.process.send_signal(signal.SIGTERM)
            connection.sendall(body)
            answer = b""
            while part := connection.recv(4096):
                answer += part

        assert answer.startswith(b"HTTP/1.1 201")
        assert served.process.wait(90) == 0


def test_a_second_signal_does_not_wait(tmp_path):
    """With a server process that cannot end in order, a second SIGTERM ends the target at once."""
    served = start(folder=tmp_path, before="server.END_S = 3600")
    child = served.processes()[1]
    handles = gone([child])
    freeze(child)
    served.process.send_signal(signal.SIGTERM)
    while not pending(child, signal.SIGTERM):
        pass

    assert served.end() == 0
    wait_all(handles)
    served.process.communicate()
    assert left_behind(tmp_path) == []


def test_a_stuck_child_is_killed(tmp_path):
    """A server process that does not end in order in its time is killed; the target still exits with 0."""
    served = start(folder=tmp_path, before="server.END_S = 0.1")
    child = served.processes()[1]
    handles = gone([child])
    freeze(child)

    assert served.end() == 0
    wait_all(handles)
    served.process.communicate()
    assert left_behind(tmp_path) == []


def test_the_end_of_the_lifeline_ends_all(tmp_path):
    """When the lifeline's other end is closed all processes leave, also one that is stuck."""
    lifeline, held = os.pipe()
    served = start("--processes", "2", "--lifeline-fd", str(lifeline), folder=tmp_path, pass_fds=(lifeline,))
    os.close(lifeline)
    children = served.processes()[1:]
    handles = gone(children)
    freeze(children[0])
    os.close(held)

    wait_all(handles)
    assert served.process.wait(90) == 0
    served.process.communicate()
    assert left_behind(tmp_path) == []


def test_a_killed_starter_takes_the_target_along(tmp_path):
    """A starter that dies by SIGKILL leaves no process and no file of the target."""
    script = (
        "import os, subprocess, sys\n"
        "lifeline, held = os.pipe()\n"
        "command = [sys.executable, '-m', 'target.server', '--lifeline-fd', str(lifeline)]\n"
        "subprocess.Popen(command, pass_fds=[lifeline])\n"
        "sys.stdin.read()\n"
    )
    starter = subprocess.Popen(
        [sys.executable, "-c", script],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    pid = int(starter.stdout.readline().decode().rpartition('"pid": ')[2].rstrip("}\n"))
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    handles = gone([pid, *map(int, children)])
    starter.kill()

    wait_all(handles)
    starter.communicate()
    assert left_behind(tmp_path) == []


def test_children_leave_when_the_parent_is_killed(tmp_path):
    """SIGKILL of the parent: the server processes leave and remove the folder."""
    served = start("--processes", "2", folder=tmp_path)
    handles = gone(served.processes()[1:])
    served.process.kill()

    wait_all(handles)
    served.process.communicate()
    assert left_behind(tmp_path) == []


def test_the_guard_leaves_although_the_main_thread_is_busy(tmp_path):
    """A server process whose event loop never comes back still leaves when its parent is gone."""
    alive, held = os.pipe()
    folder = tmp_path / "state"
    folder.mkdir()
    script = (
        "import sys, threading\n"
        "from pathlib import Path\n"
        "from target.listener import Post, _leave_with_parent\n"
        "post = Post(None, Path(sys.argv[1]), '', '', None, '', 0, 1, int(sys.argv[2]), 0)\n"
        "threading.Thread(target=_leave_with_parent, args=(post,), daemon=True).start()\n"
        "print(flush=True)\n"
        "while True: pass\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(folder), str(alive)],
        cwd=ROOT,
        pass_fds=[alive],
        stdout=subprocess.PIPE,
    )
    process.stdout.readline()
    os.close(alive)
    os.close(held)

    assert process.wait(90) == 1
    process.communicate()
    assert not folder.exists()


def test_a_killed_child_ends_the_target_with_a_message(tmp_path):
    """When a server process is killed the target ends with status 1 and says which one and how."""
    served = start("--processes", "2", folder=tmp_path)
    victim, other = served.processes()[1:]
    handles = gone([other])
    os.kill(victim, signal.SIGKILL)

    assert served.process.wait(90) == 1
    wait_all(handles)
    assert served.process.communicate()[1].decode() == (
        f"target: server process {victim} was killed by SIGKILL; the target ends\n"
    )
    assert left_behind(tmp_path) == []


def test_a_folder_of_killed_processes_is_removed_by_the_next_target(tmp_path):
    """What a SIGKILL of all processes at once left is gone after the next start; a living one's stays."""
    with serving(folder=tmp_path) as neighbour:
        dead = start(folder=tmp_path)
        pids = dead.processes()
        handles = gone(pids)
        for pid in reversed(pids):
            freeze(pid)
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        wait_all(handles)
        dead.process.communicate()
        assert len(left_behind(tmp_path)) == 2

        with serving(folder=tmp_path):
            assert len(left_behind(tmp_path)) == 2
        assert httpx.get(neighbour.url + "/gateway/health").status_code == 200
        assert len(left_behind(tmp_path)) == 1


def test_a_busy_port_is_one_clear_line(tmp_path):
    """A port that is taken: exit 2, one line that names it, no traceback."""
    with serving(folder=tmp_path) as served:
        port = str(httpx.URL(served.url).port)
        process = launch("--port", port, folder=tmp_path)
        _, errors = process.communicate(timeout=90)

        assert process.returncode == 2
        assert errors.decode() == (
            f"target: cannot listen on 127.0.0.1 port {port}: Address already in use; "
            "--port 0 takes any free one\n"
        )


@pytest.mark.parametrize(
    ("arguments", "environment", "said"),
    [
        (["--processes", "0"], {}, "--processes 0"),
        (["--port", "70000"], {}, "--port 70000"),
        (["--host", "256.0.0.1"], {}, "--host 256.0.0.1"),
        (["--store", "postgresql://x/y"], {}, "postgresql://x/y"),
        (["--store", "sqlite://relative.db"], {}, "sqlite:///"),
        (["--store", "sqlite:////dev/null/x.db"], {}, "/dev/null/x.db"),
        (["--lifeline-fd", "99"], {}, "--lifeline-fd 99"),
        (["--announce-fd", "99"], {}, "--announce-fd 99"),
        ([], {"CONSTITUTIONAL_HASH": "two words"}, "two words"),
        (["--store", "sqlite:///proc/none/x.db"], {}, "/proc/none/x.db"),
    ],
)
def test_what_cannot_be_served_is_refused_in_one_line(tmp_path, arguments, environment, said):
    """A wrong option: exit 2, one line that names it, nothing left behind."""
    process = launch(*arguments, folder=tmp_path, **environment)
    output, errors = process.communicate(timeout=90)

    assert process.returncode == 2
    assert output == b""
    assert errors.count(b"\n") == 1
    assert said in errors.decode()
    assert left_behind(tmp_path) == []


def test_a_disk_without_room_is_one_clear_line(tmp_path):
    """When no temporary folder can be made: exit 2 and one line."""
    before = "def full(): raise OSError(28, 'No space left on device')\nserver.make_folder = full"
    process = launch(folder=tmp_path, before=before)
    _, errors = process.communicate(timeout=90)

    assert process.returncode == 2
    assert errors.decode() == (
        "target: no temporary folder can be made: [Errno 28] No space left on device; set TMPDIR to another\n"
    )


def test_the_announcement_goes_where_it_is_asked_to(tmp_path):
    """With --announce-fd the line is written there and not to stdout."""
    reader, writer = os.pipe()
    process = launch("--announce-fd", str(writer), folder=tmp_path, pass_fds=(writer,))
    os.close(writer)
    with os.fdopen(reader) as announced:
        line = announced.readline()
    process.terminate()

    assert f'"pid": {process.pid}' in line
    assert process.communicate()[0] == b""


def test_more_connections_than_the_soft_limit_of_files(tmp_path):
    """A low soft limit of open files, as many systems have it, does not limit connections."""
    before = (
        "import resource\n"
        "_, hard = resource.getrlimit(resource.RLIMIT_NOFILE)\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))"
    )
    with serving(folder=tmp_path, before=before) as served, contextlib.ExitStack() as open_ones:
        address = ("127.0.0.1", httpx.URL(served.url).port)
        for _ in range(100):
            connection = open_ones.enter_context(socket.create_connection(address, timeout=30))
            connection.sendall(b"GET /gateway/health HTTP/1.1\r\nHost: t\r\n\r\n")

            assert connection.recv(4096).startswith(b"HTTP/1.1 200")


def test_a_named_store_is_kept(tmp_path):
    """What was written into a store that has a name is there at the next start."""
    store = f"sqlite://{tmp_path}/kept.db"
    with serving("--store", store, folder=tmp_path) as served, served.client() as client:
        made = client.post("/policies", json=POLICY).json()
    with serving("--store", store, folder=tmp_path) as served, served.client() as client:
        assert client.get(f"/policies/{made['id']}").json() == made
