"""`loadproof master` as a user types it, waiting for workers that are typed too."""

import re

from commands import start


def begin_master(*words, cwd, **env):
    """A master at a free port of the loopback, once it waits for its workers, and where they find it."""
    master = start("master", *map(str, words), "--port", "0", cwd=cwd, **env)
    said = ""
    while (found := re.search(r"workers? at 127\.0\.0\.1:(\d+)", said)) is None:
        line = master.stdout.readline()
        assert line, said
        said += line
    return master, f"127.0.0.1:{found[1]}"


def finish(process, seconds=240):
    """Its exit code and what it has printed since, when it has ended by itself."""
    output, _ = process.communicate(timeout=seconds)
    assert "Traceback" not in output, output
    return process.returncode, output
