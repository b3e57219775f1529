"""The environments of the old and the new sites, and how a module is run in one."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from tests.ports import free_port
from tests.switching.real.site.engines import Engine

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent.parent
SITE = "tests.switching.real.site"
COPIED = ("__init__.py", "switching/__init__.py", "switching/real/__init__.py")
DRIVERS = {"postgres": "psycopg[binary]>=3.2", "mysql": "mysqlclient>=2.2.1"}
SERVER = ("--workers", "2", "--threads", "10", "--log-level", "error", "--error-logfile", "-")
PATIENCE = 60.0


class FailedError(Exception):
    """A command or a server of a site failed; the message has what it printed."""


@dataclass
class Site:
    """A site of one engine, before or after the switch: its environment, its settings, its directory."""

    python: Path
    directory: Path
    variables: dict[str, str] = field(default_factory=dict)

    def run(self, module: str, *arguments: str) -> str:
        """Run a module in a process of its own and return what it printed.

        Raises:
            FailedError: it has failed.
        """
        command = [str(self.python), "-W", "ignore", "-m", module, *arguments]
        done = subprocess.run(
            command,
            cwd=self.directory,
            env=self._environment(),
            check=False,
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise FailedError(f"{' '.join(command)}\n{done.stdout}{done.stderr}")
        return done.stdout

    def start(self, module: str, *arguments: str) -> subprocess.Popen[str]:
        """Start a module in a process of its own; what it prints, errors too, can be read from the process."""
        return subprocess.Popen(
            [str(self.python), "-W", "ignore", "-m", module, *arguments],
            cwd=self.directory,
            env=self._environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    @contextmanager
    def served(self) -> Iterator[str]:
        """Serve the site by two processes, and yield its address.

        Raises:
            FailedError: it does not start, or has written to its log.
        """
        address = f"127.0.0.1:{free_port()}"
        command = [str(self.python), "-m", "gunicorn", "--bind", address, *SERVER]
        command += ["--chdir", str(self.directory), f"{SITE}.wsgi:application"]
        log = self.directory / "server.log"
        with (
            log.open("w") as output,
            subprocess.Popen(
                command, cwd=self.directory, env=self._environment(), stdout=output, stderr=output
            ) as server,
        ):
            try:
                _wait_for(f"http://{address}/who", server, log)
                yield address
            finally:
                server.terminate()

    def log(self) -> str:
        """Return what the server has logged."""
        return (self.directory / "server.log").read_text()

    def _environment(self) -> dict[str, str]:
        kept = {"PATH", "HOME", "LANG", "TMPDIR"}
        inherited = {name: value for name, value in os.environ.items() if name in kept}
        return {**inherited, "PYTHONPATH": str(self.directory), **self.variables}


def copy_site(directory: Path) -> None:
    """Copy the site to ``directory``, from where nothing else of this repository can be imported."""
    for name in COPIED:
        target = directory / "tests" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / "tests" / name, target)
    shutil.copytree(HERE / "site", directory / "tests/switching/real/site")


def build_wheel(directory: Path) -> Path:
    """Build the wheel of this package and return its path."""
    pip = [sys.executable, "-m", "pip", "wheel", "-qq", "--no-deps"]
    subprocess.run([*pip, "--wheel-dir", str(directory), str(ROOT)], check=True)
    return next(directory.glob("*.whl"))


def environment(directory: Path, engine: Engine, database: str, wheel: Path | None) -> Path:
    """Return the Python of a site's environment, with the wheel for the site after the switch.

    It is made in ``directory``, if it is not there yet.
    """
    root = directory / f"{engine.package}-{'old' if wheel is None else 'new'}"
    python = root / "bin" / "python"
    install = [str(python), "-m", "pip", "install", "-qq"]
    if not (root / "ready").exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(root)], check=True)
        common = ["django>=5.2", "dj-database-url>=3", "gunicorn>=23", "redis>=5.1"]
        subprocess.run([*install, *common, *engine.requirements], check=True)
        (root / "ready").touch()
    # MariaDB's is compiled, so none is installed that is not needed.
    if database in DRIVERS and not (root / f"ready-{database}").exists():
        subprocess.run([*install, DRIVERS[database]], check=True)
        (root / f"ready-{database}").touch()
    if wheel is not None:
        _install_wheel(python, wheel)
    return python


@cache
def _install_wheel(python: Path, wheel: Path) -> None:
    """Install the wheel, once for all engines that share the environment."""
    install = [str(python), "-m", "pip", "install", "-qq"]
    subprocess.run([*install, str(wheel)], check=True)
    # Of the same version as the one before, it would not be installed.
    subprocess.run([*install, "--force-reinstall", "--no-deps", str(wheel)], check=True)


def _wait_for(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and server.poll() is None:
        try:
            urllib.request.urlopen(url, timeout=PATIENCE).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise FailedError(f"the server does not answer\n{log.read_text()}")
