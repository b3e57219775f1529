"""The npm package, built and packed once, and projects that have it installed."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import pytest

from tests.browser.conftest import ADD_PEOPLE
from tests.browser.conftest import chromium as chromium
from tests.ports import free_port
from tests.running import Site, example_site

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).parent
QUIET = ("--no-audit", "--no-fund", "--no-package-lock", "--silent")


def run(*command: str | Path, cwd: Path, **environment: str) -> str:
    """Run a program and return what it printed; what it printed is shown where it fails."""
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env={**os.environ, "CI": "1", "NO_COLOR": "1", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.fixture(scope="session")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that is packed."""
    build = tmp_path_factory.mktemp("build")
    for name in ("LICENSE", "npm", "django_sessions_plus/static"):
        source, target = ROOT / name, build / name
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("node_modules"))
        else:
            shutil.copy(source, target)
    run("npm", "install", *QUIET, cwd=build / "npm")
    run("node", "npm/build.mjs", build / "dist", cwd=build)
    return build / "dist"


@pytest.fixture(scope="session")
def tarball(package: Path) -> Path:
    name = run("npm", "pack", "--silent", cwd=package).split()[-1]
    return package / name


@pytest.fixture(scope="session")
def project(tarball: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return a folder of this one as a project that has its packages and ours installed."""
    made: dict[str, Path] = {}

    def make(name: str) -> Path:
        if name not in made:
            target = tmp_path_factory.mktemp("projects") / name
            ignored = shutil.ignore_patterns("node_modules")
            shutil.copytree(HERE / name, target, ignore=ignored)
            run("npm", "install", *QUIET, cwd=target)
            run("npm", "install", *QUIET, "--no-save", tarball, cwd=target)
            made[name] = target
        return made[name]

    return make


STARTUP = 120


@pytest.fixture(scope="session")
def trusted_port() -> int:
    """The port of a page that Django trusts."""
    return free_port()


@pytest.fixture(scope="session")
def django(tmp_path_factory: pytest.TempPathFactory, trusted_port: int) -> Iterator[Site]:
    """The example site, with people to sign in as."""
    with example_site(
        tmp_path_factory.mktemp("django"),
        ["shell", "-c", ADD_PEOPLE],
        DJANGO_SETTINGS_MODULE="tests.npm.settings",
        TRUSTED=f"http://127.0.0.1:{trusted_port}",
    ) as site:
        yield site


@contextmanager
def serving(
    *command: str, port: int, cwd: Path, path: str = "/", **environment: str
) -> Iterator[str]:
    """Run a server of Node and return its address once it answers."""
    address = f"http://127.0.0.1:{port}"
    log = cwd / f"server-{port}.log"
    with log.open("w") as output:
        # A group of its own: npx starts what it serves as a child.
        server = subprocess.Popen(
            command,
            cwd=cwd,
            env={**os.environ, **environment},
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
        try:
            deadline = time.monotonic() + STARTUP
            while not _answers(address + path):
                assert server.poll() is None, log.read_text()
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.2)
            yield address
        finally:
            with suppress(ProcessLookupError):
                os.killpg(server.pid, signal.SIGTERM)
            server.wait()


def _answers(address: str) -> bool:
    try:
        return httpx.get(address, timeout=60).status_code < 500
    except httpx.TransportError:
        return False
