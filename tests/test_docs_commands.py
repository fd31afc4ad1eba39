"""The README and the help are executed: what they say can be typed."""

import re
import shlex
from pathlib import Path

import pytest
from commands import VISITOR, loadproof, start

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
COMMANDS = [
    shlex.split(line.partition("#")[0])[1:]
    for line in re.findall(r"^    (loadproof .*)$", README, re.MULTILINE)
]
VERBS = (
    *("run", "plans", "validate", "target", "report", "compare", "trend", "runs", "recover", "stop"),
    *("keys", "master", "worker", "dashboards"),
)


def test_the_readme_shows_every_verb():
    """Each verb of the command line is used at least once in the README."""
    assert {words[0] for words in COMMANDS} == set(VERBS)


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_a_command_of_the_readme_can_be_typed(tmp_path, words):
    """Its verb and flags are understood; `run` is asked through `validate`, which takes the same words."""
    (tmp_path / "my_locustfile.py").write_text(VISITOR)
    if words[0] == "target":
        words = ["target", "--help"]
    elif words[0] in {"report", "recover", "compare", "trend", "runs", "stop"}:
        done = loadproof(*words, cwd=tmp_path)
        assert done.returncode == 2, "there is no such run here, and that is what it must say"
        assert next((word for word in words if word.startswith("reports")), "reports") in done.stderr
        return
    elif words[0] in {"master", "worker"}:
        done = loadproof(*words, cwd=tmp_path)
        assert done.returncode == 2, "there are no keys here, and that is what it must say"
        assert "cannot read" in done.stderr
        assert "`loadproof keys` makes a key set" in done.stderr
        return
    elif words[0] == "run":
        words = ["validate", *(word for word in words[1:] if word not in {"--smoke", "--web"})]
    done = loadproof(*words, cwd=tmp_path)

    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.strip()


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_itself(tmp_path, verb):
    """`--help` says what the verb does and every option has a sentence."""
    done = loadproof(verb, "--help", cwd=tmp_path)

    assert done.returncode == 0
    options = re.findall(r"^  (-[^ ].*)$", done.stdout, re.MULTILINE)
    assert options
    bare = [line for line in options if re.fullmatch(r"(-\w, )?--[\w-]+( [A-Z=.]+)?", line.strip())]
    for line in bare:
        at = done.stdout.index(line)
        following = done.stdout[at + len(line) :].splitlines()[1]
        assert following.startswith("      "), f"{verb} {line} has no explanation"


def test_the_table_of_contents_is_not_cut(tmp_path):
    """`--help` has a whole sentence for every verb."""
    done = loadproof("--help", cwd=tmp_path)
    told = dict(re.findall(r"^  ([a-z]+) +([A-Z].*)$", done.stdout, re.MULTILINE))

    assert set(told) == set(VERBS)
    assert all(sentence.endswith(".") and "..." not in sentence for sentence in told.values())


def test_the_version_is_printed(tmp_path):
    """`--version` names our version and Locust's."""
    done = loadproof("--version", cwd=tmp_path)

    assert re.fullmatch(r"loadproof \d+\.\d+\.\d+ \(locust 2\.\d+\.\d+\)\n", done.stdout)


@pytest.mark.parametrize("link", re.findall(r"\]\(([^)#]+)\)", README))
def test_a_link_of_the_readme_leads_somewhere(link):
    """Every relative link names a file or folder of the repository."""
    assert (ROOT / link).exists()


def test_a_smoke_run_shows_every_exchange(tmp_path):
    """`run enterprise --smoke` prints each request with its answer, and is WARN at best: exit 0, with --strict 3."""
    done = loadproof("run", "enterprise", "--smoke", "--strict", cwd=tmp_path)

    assert done.returncode == 3, done.stdout + done.stderr
    for endpoint in (
        "POST /policies -> 201",
        "GET /policies/:id -> 200",
        "POST /policies/:id/decisions -> 200",
    ):
        assert endpoint in done.stdout
    assert "\nWARN " in done.stdout


def test_quiet_prints_the_verdict_only(tmp_path):
    """One line: the verdict and its title."""
    (tmp_path / "visitor.py").write_text(VISITOR)
    done = loadproof("run", "-f", "visitor.py", "-t", "3s", "--rule", "count >= 10", "-q", cwd=tmp_path)

    assert done.returncode == 0, done.stdout + done.stderr
    assert re.fullmatch(r"(PASS|WARN)  visitor: [^\n]+\n", done.stdout)


def test_json_is_the_only_thing_on_standard_output(tmp_path):
    """With --json a program can read the result; what people read goes to standard error."""
    import json

    (tmp_path / "visitor.py").write_text(VISITOR)
    done = loadproof("run", "-f", "visitor.py", "-t", "3s", "--rule", "count >= 10", "--json", cwd=tmp_path)

    assert json.loads(done.stdout)["verdict"] in {"PASS", "WARN"}
    assert "visitor" in done.stderr


def test_the_commands_for_several_hosts_make_a_run(tmp_path):
    """`docs/distributed.md`, typed as it stands but for the addresses, the target and the size: one host's worker."""
    text = (ROOT / "docs" / "distributed.md").read_text()
    keys, master, worker, *loopback = [
        shlex.split(line)[1:] for line in re.findall(r"^    (loadproof .*)$", text, re.MULTILINE)
    ]
    here = {"10.0.0.5": "127.0.0.1", "https://staging.example.test": "embedded"}
    smaller = ("--region", "us-east-1", "--users", "5", "--duration", "26s", "--port", "0")
    assert loadproof(*keys, cwd=tmp_path).returncode == 0
    conducting = start(*(here.get(word, word) for word in master), *smaller, cwd=tmp_path)
    said = ""
    while (found := re.search(r"workers? at 127\.0\.0\.1:(\d+)", said)) is None:
        line = conducting.stdout.readline()
        assert line, said
        said += line
    places = {**here, "10.0.0.5": f"127.0.0.1:{found[1]}"}
    working = loadproof(*(places.get(word, word) for word in worker), cwd=tmp_path / "keys")
    output, _ = conducting.communicate(timeout=120)

    assert working.returncode == 0, working.stdout + working.stderr
    assert "us-east-1-01: done" in working.stdout
    assert conducting.returncode in {0, 3, 4}, output
    assert "Report: " in output
    for words in loopback:
        done = loadproof(*words, "--help", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
