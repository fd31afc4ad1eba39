"""`loadproof keys` as a user types it: files, their modes, what is said of them, and refusals."""

import stat

import pytest
from commands import loadproof

from distributed.link.keys import read_master_keys, read_worker_keys


def test_a_key_set_for_a_plan(tmp_path):
    """A pair for the master and one for each worker of the plan; secrets are the owner's alone."""
    done = loadproof("keys", "set", "enterprise", cwd=tmp_path)
    folder = tmp_path / "set"
    of_master = read_master_keys(folder)

    assert done.returncode == 0, done.stderr
    assert {path.name for path in folder.iterdir()} == {
        "master.key",
        "master.pub",
        "workers.pub",
        *(f"{worker}.key" for worker in of_master.workers),
    }
    assert {"us-east-1-01", "ap-southeast-1-01"} <= set(of_master.workers)
    for worker, public in of_master.workers.items():
        own = read_worker_keys(folder / f"{worker}.key", folder / "master.pub")
        assert (own.worker, own.own.public, own.master) == (worker, public, of_master.own.public)
        assert f"{worker}'s host gets {worker}.key" in done.stdout
        assert of_master.fingerprints[worker] in done.stdout
        assert own.own.secret.decode() not in done.stdout
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.glob("*.key")} == {0o600}


def test_regions_without_a_plan(tmp_path):
    """`--region NAME:WORKERS` names the workers as a plan would."""
    loadproof("keys", "set", "--region", "eu-west-1:2", "--region", "local", cwd=tmp_path)

    assert set(read_master_keys(tmp_path / "set").workers) == {"eu-west-1-01", "eu-west-1-02", "local-01"}


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("keys", "set"), "say for whom"),
        (("keys", "set", "enterprise", "--region", "a"), "say for whom"),
        (("keys", "set", "--region", "../a:2"), "write each region once"),
        (("keys", "set", "--region", "a", "--region", "a:2"), "write each region once"),
        (("keys", ".", "enterprise"), "never overwritten"),
        (("keys", "file", "enterprise"), "cannot write a key set"),
        (("keys", "set", "nope"), "nope"),
    ],
)
def test_a_key_set_that_cannot_be_made(tmp_path, words, says):
    """Exit 2 and one line; nothing that was there is touched."""
    (tmp_path / "file").write_text("kept")
    done = loadproof(*words, cwd=tmp_path)

    assert done.returncode == 2
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert (tmp_path / "file").read_text() == "kept"
