"""A Docker engine of a test's own, with the images that it needs made from Debian's packages: no registry is asked.

Needs root, Docker's engine, docker-compose, mmdebstrap and iptables; where one is missing the test fails.
"""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from commands import wait_until

ROOT = Path(__file__).parent.parent.parent
PYTHON_IMAGE = "local/python:3.11-bookworm"
PACKAGES = ("python3-minimal", "python3-venv", "ca-certificates")
CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"
FORWARDING = Path("/proc/sys/net/ipv4/ip_forward")
LEFT_OUT = ("doc/*", "man/*", "locale/*", "info/*")
SERVICES = ("postgres", "redis", "prometheus")


class Engine:
    """A running dockerd, which has neither images nor containers at first, and who commands it."""

    def __init__(self, folder):
        self.folder = folder
        self.environment = {
            **os.environ,
            "DOCKER_HOST": f"unix://{folder}/docker.sock",
            # The engine of Debian 12 knows both; the committed files must not need BuildKit.
            "DOCKER_BUILDKIT": "0",
            "COMPOSE_DOCKER_CLI_BUILD": "0",
        }

    def docker(self, *words, **more):
        """What a command of docker prints; fails with all that it said."""
        return told(["docker", *map(str, words)], env=self.environment, **more)

    def inspect(self, *names):
        return json.loads(self.docker("inspect", *names))

    def make_images(self, compose):
        """Ours by the committed compose file, and what it takes from a registry by `tests/deploy/Dockerfile`."""
        self._import_debian()
        with ThreadPoolExecutor(4) as pool:
            making = [pool.submit(self._make_services)]
            making += [
                pool.submit(compose, "build", name) for name in ("locust-master", "analyzer", "target")
            ]
            for made in making:
                made.result()

    def _import_debian(self):
        """An image of Debian 12 with Python, from the mirror and with the certificates of this machine."""
        make = [
            *("mmdebstrap", "--quiet", "--variant=apt", f"--include={','.join(PACKAGES)}"),
            *(f"--dpkgopt=path-exclude=/usr/share/{path}" for path in LEFT_OUT),
            f"--customize-hook=upload {CERTIFICATES} {CERTIFICATES}",
            *("bookworm", "-", debian_mirror()),
        ]
        log = self.folder / "mmdebstrap.log"
        with log.open("wb") as errors:
            making = subprocess.Popen(
                make, stdout=subprocess.PIPE, stderr=errors, env={**os.environ, "TMPDIR": str(self.folder)}
            )
            change = f"ENV PIP_CERT={CERTIFICATES}"
            try:
                self.docker("import", "--change", change, "-", PYTHON_IMAGE, stdin=making.stdout)
            finally:
                making.stdout.close()
                code = making.wait(300)
        assert code == 0, log.read_text()

    def _make_services(self):
        for name in SERVICES:
            words = ("--build-arg", f"DEBIAN_IMAGE={PYTHON_IMAGE}", "--target", name, "--tag", f"test-{name}")
            self.docker("build", "--quiet", "--network", "host", *words, ROOT / "tests" / "deploy")


@contextlib.contextmanager
def engine(folder):
    """An engine for the length of the block; afterwards this machine's network is as it was before."""
    assert os.geteuid() == 0, "only root may start a Docker engine: run the tests as root"
    folder.mkdir(parents=True)
    if memory_to_spare():
        told(["mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", folder])
    forwarding = FORWARDING.read_text()
    before = tables()
    log = (folder / "dockerd.log").open("wb")
    daemon = subprocess.Popen(
        [
            *("dockerd", "--data-root", str(folder / "data"), "--exec-root", str(folder / "exec")),
            *("--host", f"unix://{folder}/docker.sock", "--pidfile", str(folder / "pid"), "--bridge", "none"),
        ],
        env={**os.environ, "PATH": f"{legacy_tables(folder)}:{os.environ['PATH']}"},
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        # A Ctrl-C is for the test, which ends the containers first.
        start_new_session=True,
    )

    def said():
        return (folder / "dockerd.log").read_text()

    try:
        wait_until(lambda: "API listen on" in said() or daemon.poll() is not None, seconds=60)
        assert daemon.poll() is None, f"dockerd cannot run here:\n{said()}"
        started = Engine(folder)
        try:
            yield started
        finally:
            if left := started.docker("ps", "--all", "--quiet").split():
                started.docker("rm", "--force", "--volumes", *left)
            networks = started.docker("network", "ls", "--quiet", "--filter", "type=custom").split()
            if networks:
                started.docker("network", "rm", *networks)
    finally:
        daemon.send_signal(signal.SIGTERM)
        daemon.wait(60)
        log.close()
        restore(before)
        FORWARDING.write_text(forwarding)
        for mounted in sorted(mounts(folder), reverse=True):
            told(["umount", "--lazy", mounted])
        shutil.rmtree(folder)


def memory_to_spare():
    """Whether images and containers, 3 GB of files that live for minutes, fit into memory with all that runs in them."""
    told_kb = re.search(r"^MemAvailable: *(\d+) kB$", Path("/proc/meminfo").read_text(), re.MULTILINE)
    return int(told_kb[1]) > 8_000_000


def legacy_tables(folder):
    """A folder whose `iptables` is the older kind, which works in every kernel, whatever this machine prefers."""
    shims = folder / "iptables"
    shims.mkdir()
    for verb in ("", "-save", "-restore"):
        path = shutil.which(f"iptables-legacy{verb}")
        assert path is not None, f"iptables-legacy{verb} is missing: install iptables"
        (shims / f"iptables{verb}").symlink_to(path)
    return shims


def tables():
    """The rules of the kernel's older tables, without counters."""
    return re.sub(r"^#.*\n| \[\d+:\d+\]$", "", told(["iptables-legacy-save"]), flags=re.MULTILINE)


def restore(before):
    """Take away the rules that an engine has made, and put those back that were there."""
    for table in ("nat", "filter"):
        if f"*{table}\n" not in before:
            told(["iptables-legacy", "--table", table, "--flush"])
            told(["iptables-legacy", "--table", table, "--delete-chain"])
    if "*filter\n" not in before:
        told(["iptables-legacy", "--policy", "FORWARD", "ACCEPT"])
    told(["iptables-legacy-restore"], input=before)


def mounts(folder):
    """What is mounted there or below."""
    places = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
    return [place for place in places if Path(place).is_relative_to(folder)]


def bridges():
    """The names of all network interfaces that Docker makes."""
    return [path.name for path in Path("/sys/class/net").iterdir() if re.match(r"br-|docker|veth", path.name)]


def debian_mirror():
    """Where this machine has its packages from."""
    files = [Path("/etc/apt/sources.list"), *sorted(Path("/etc/apt/sources.list.d").glob("*"))]
    told = "\n".join(path.read_text() for path in files if path.is_file())
    found = re.search(r"^(?:URIs:|deb(?: \[.*?\])?) *(\S+/debian)/?\s", told, re.MULTILINE)
    assert found, "no Debian mirror stands in /etc/apt: this test makes its images of Debian's packages"
    return found[1]


def pip_settings():
    """Where this machine's pip looks for packages, for the builds; empty is pip's own choice."""
    settings = {}
    for name in ("index-url", "trusted-host"):
        variable = f"PIP_{name.upper().replace('-', '_')}"
        asked = subprocess.run(
            [sys.executable, "-m", "pip", "config", "get", f"global.{name}"],
            capture_output=True,
            text=True,
            check=False,
        )
        settings[variable] = os.environ.get(variable) or asked.stdout.strip()
    return settings


def told(words, **more):
    done = subprocess.run(
        list(map(str, words)),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        **more,
    )
    assert done.returncode == 0, f"{' '.join(map(str, words))}\n{done.stdout}"
    return done.stdout
