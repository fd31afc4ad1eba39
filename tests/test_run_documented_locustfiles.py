"""The locustfiles of Locust's own documentation run unchanged under `run -f`, recorded and judged.

They come with the last source distribution of Locust that holds its documentation, which `pip` fetches for the test;
its code is none of ours. Left out are those that need a service or a library that Locust does not bring, and what is
no locustfile; what Locust has learned to do since is shown by ours in `test_run_stock_locustfiles.py`.
"""

import csv
import re
import subprocess
import sys
import tarfile
import textwrap
import threading
from xmlrpc.server import SimpleXMLRPCServer

import pytest
from commands import loadproof, results, run_folder
from echoing import echoing

pytestmark = pytest.mark.long

PINNED = "locust==2.29.1 --hash=sha256:2e0628a59e2689a50cb4735a9a43709e30f2da7ed276c15d877c5325507f44b1\n"

EXAMPLES = {
    "basic.py": {"GET /", "GET /stats/requests", "GET /does_not_exist"},
    "custom_wait_function.py": {"GET /", "GET /stats/requests", "GET /does_not_exist"},
    "debugging.py": {"GET /hello"},
    "debugging_advanced.py": {"GET /hello1", "GET /hello2"},
    "dynamic_user_credentials.py": {"POST /login", "GET /protected/resource"},
    "events.py": {"GET /", "GET /stats/requests"},
    "extend_web_ui.py": {"GET /", "GET /stats/requests"},
    "fast_http_locust.py": {"GET /", "GET /stats/requests"},
    "locustfile.py": {"POST /login", "GET /hello", "GET /world", "GET /item"},
    "manual_stats_reporting.py": {"manual successful_task", "manual decorator_test", "manual failing_task"},
    "multiple_hosts.py": {"GET /", "GET /stats/requests"},
    "nested_inline_tasksets.py": {"GET /", "GET /stats/requests"},
    "semaphore_wait.py": {"GET /"},
    "stop_on_threshold.py": {"GET /", "GET /error"},
    "dispatch_test_scripts/locustfile.py": {"GET UserA", "GET UserB", "GET UserC"},
    "custom_shape/double_wave.py": {"GET /"},
    "custom_shape/stages.py": {"GET /"},
    "custom_shape/step_load.py": {"GET /"},
    "custom_shape/wait_user_count.py": {"GET /"},
}
"""What each may ask for; a short run need not reach all of it."""
NOT_OFFERED = ("debugging_advanced.py", "custom_shape/wait_user_count.py")
"""Their users leave at once, or take seconds to come: the load may not have been the plan's."""
SILENT = ("add_command_line_argument.py", "custom_messages.py")
"""They only print."""


@pytest.fixture(scope="module")
def locust_source(tmp_path_factory):
    """Locust's source distribution, unpacked."""
    place = tmp_path_factory.mktemp("locust")
    (place / "pinned.txt").write_text(PINNED)
    fetch = [
        "download",
        "--quiet",
        "--no-deps",
        "--no-binary",
        "locust",
        "--require-hashes",
        "-r",
        "pinned.txt",
    ]
    subprocess.run([sys.executable, "-m", "pip", *fetch], cwd=place, check=True, timeout=300)
    [archive] = place.glob("locust-*.tar.gz")
    with tarfile.open(archive) as opened:
        opened.extractall(place, filter="data")
    return next(path for path in place.iterdir() if path.is_dir())


def run(locustfile, folder, *more, url=None):
    with echoing() as site:
        url = url or site
        done = loadproof(
            *("run", "-f", locustfile, "--target", url, "--users", 4, "--duration", "6s"),
            *("--rule", "max <= 5s", "--stop-timeout", "2s", *more),
            cwd=folder,
            API_HOST=site,
        )
    assert "Traceback" not in done.stdout + done.stderr, done.stdout + done.stderr
    rows = csv.DictReader((run_folder(folder) / "requests.csv").open())
    return done, results(run_folder(folder)), {f"{row['method']} {row['name']}" for row in rows}


def log(folder):
    return (run_folder(folder) / "run.log").read_text()


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_is_recorded_and_judged(name, locust_source, tmp_path):
    """Nothing but what the file asks for is recorded, no listener fails, and the verdict stands on requests."""
    _done, found, names = run(locust_source / "examples" / name, tmp_path)

    assert names
    assert names <= EXAMPLES[name]
    assert found["verdict"] in {"PASS", "WARN", "FAIL"} or name in NOT_OFFERED
    assert found["accounting"]["started"] == found["accounting"]["locust_counted"]
    assert "Uncaught exception in event handler" not in log(tmp_path)


@pytest.mark.parametrize("name", SILENT)
def test_an_example_without_requests_plays_and_proves_nothing(name, locust_source, tmp_path):
    """Its users run and print without an error, and without a request no verdict can stand."""
    done, found, names = run(locust_source / "examples" / name, tmp_path)

    assert (names, done.returncode) == (set(), 4)
    assert next(reason["code"] for reason in found["reasons"]) == "no_requests"
    assert not {"task_errors"} & {reason["code"] for reason in found["reasons"]}
    assert ("User0" if name == "custom_messages.py" else "my_argument=") in log(tmp_path)


def test_the_xml_rpc_client_is_recorded(locust_source, tmp_path):
    """The documentation's client of another protocol, against a server like the documentation's."""
    server = SimpleXMLRPCServer(("127.0.0.1", 0), logRequests=False)
    server.register_function(lambda: 1.5, "get_time")
    server.register_function(lambda low, high: low, "get_random_number")
    threading.Thread(target=server.serve_forever, daemon=True).start()
    example = locust_source / "examples" / "custom_xmlrpc_client" / "xmlrpc_locustfile.py"
    try:
        done, found, names = run(example, tmp_path, url=f"http://127.0.0.1:{server.server_address[1]}/")
    finally:
        server.shutdown()
        server.server_close()

    assert done.returncode == 0, done.stdout
    assert names == {"xmlrpc get_time", "xmlrpc get_random_number"}
    assert found["accounting"]["untracked"] == found["accounting"]["started"] > 0


def test_user_classes_in_a_shape_are_refused_in_words(locust_source, tmp_path):
    """The one example that a plan cannot mean."""
    example = locust_source / "examples" / "custom_shape" / "staging_user_classes.py"
    done = loadproof("validate", "-f", example, "--target", "http://127.0.0.1:9", cwd=tmp_path)

    assert done.returncode == 2
    assert "changes the user classes" in done.stderr


IMPORTS = "import time\nimport gevent\nfrom locust import *\n"
"""What the documentation has shown before and leaves out from then on."""


def written_out(source, page):
    """The page's blocks of Python that hold a whole user class with tasks."""
    text = (source / "docs" / page).read_text()
    begin = r"^(?:\.\. code-block:: python|\.\. code:: python|.*[^.:]::)\n\n((?:    .*\n|\n)+)"
    for block in map(textwrap.dedent, re.findall(begin, text, re.MULTILINE)):
        whole = re.search(
            r"^class \w+\((?:Fast)?(?:Http)?User\):\n(?:.*\n)*?.*\btasks?\b", block, re.MULTILINE
        )
        if whole and "..." not in block:
            yield IMPORTS + block


@pytest.mark.parametrize(
    "page",
    [
        "quickstart.rst",
        "writing-a-locustfile.rst",
        "tasksets.rst",
        "extending-locust.rst",
        "increase-performance.rst",
    ],
)
def test_a_pages_own_code_runs(page, locust_source, tmp_path):
    """Every user class that a page shows whole is loaded, played and ended in order."""
    blocks = list(written_out(locust_source, page))
    for number, block in enumerate(blocks):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "shown.py").write_text(block)
        done, found, names = run(folder / "shown.py", folder)

        assert done.returncode in {0, 3, 4}, block
        assert bool(names) == ("self.client." in block or "self.rest(" in block), block
        assert "task_errors" not in {reason["code"] for reason in found["reasons"]}, block
        assert "Uncaught exception in event handler" not in log(folder), block
    assert blocks
