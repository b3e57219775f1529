"""The servers, and how each is started. ``{port}`` stands for the port; the interpreter is the one that runs this."""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import dataclass
from pathlib import Path

WSGI = "tests.leasing.servers.wsgi:application"
ASGI = "tests.leasing.servers.asgi:application"
TASKS = "tests.leasing.servers.tasks"

_GUNICORN = f"-m gunicorn -b 127.0.0.1:{{port}} --graceful-timeout 5 {WSGI}"
_UVICORN = f"-m uvicorn --port {{port}} --log-level warning {ASGI}"
_GRANIAN = "-m granian --port {port} --interface"
_UWSGI = f"uwsgi --http-socket 127.0.0.1:{{port}} --master --die-on-term --need-app --module {WSGI}"
_CELERY = f"-m celery -A {TASKS} worker --loglevel warning"


@dataclass(frozen=True)
class Kind:
    """One way to run a site."""

    module: str
    """What has to be installed: a module, or the program ``uwsgi``."""
    command: str
    processes: int = 1
    """How many serve at a time."""
    begins: bool = False
    """Whether the process that forks the others listens as well."""
    runs_between: bool = True
    """Whether its threads run while no request does."""
    is_quick: bool = False
    """Whether it is tried without being named."""
    path: str = ""
    """The page that is asked for."""

    @property
    def is_celery(self) -> bool:
        """Return whether it is asked by tasks."""
        return self.module == "celery"

    def is_installed(self) -> bool:
        """Return whether it can be tried here."""
        return program(self.module).exists() or importlib.util.find_spec(self.module) is not None

    def arguments(self, port: int) -> list[str]:
        """Return the command that starts it."""
        words = self.command.format(port=port).split()
        if words[0] == "-m":
            return [sys.executable, *words]
        return [str(program(words[0])), "--virtualenv", sys.prefix, *words[1:]]


def program(name: str) -> Path:
    """Return where a program of this environment would be."""
    return Path(sys.executable).parent / name


KINDS: dict[str, Kind] = {
    "gunicorn-sync": Kind("gunicorn", f"{_GUNICORN} -w 2", 2, is_quick=True),
    "gunicorn-gthread": Kind("gunicorn", f"{_GUNICORN} -w 2 --threads 4", 2),
    "gunicorn-gevent": Kind("gevent", f"{_GUNICORN} -w 2 -k gevent", 2, is_quick=True),
    "gunicorn-gevent-preload": Kind(
        "gevent",
        f"{_GUNICORN} -w 2 -k gevent --preload -c python:tests.leasing.servers.patched",
        2,
        begins=True,
    ),
    "gunicorn-preload": Kind(
        "gunicorn", f"{_GUNICORN} -w 2 --preload", 2, begins=True, is_quick=True
    ),
    "gunicorn-recycled": Kind("gunicorn", f"{_GUNICORN} -w 2 --preload --max-requests 150", 2),
    "uvicorn": Kind("uvicorn", _UVICORN, is_quick=True, path="async"),
    "uvicorn-2": Kind("uvicorn", f"{_UVICORN} --workers 2", 2, path="async"),
    "uvicorn-sync-view": Kind("uvicorn", _UVICORN),
    "daphne": Kind("daphne", f"-m daphne -p {{port}} -v 0 {ASGI}", path="async"),
    "hypercorn": Kind("hypercorn", f"-m hypercorn -b 127.0.0.1:{{port}} {ASGI}", path="async"),
    "granian-wsgi": Kind("granian", f"{_GRANIAN} wsgi --workers 2 {WSGI}", 2),
    "granian-asgi": Kind("granian", f"{_GRANIAN} asginl --workers 2 {ASGI}", 2, path="async"),
    "uwsgi": Kind("uwsgi", f"{_UWSGI} --processes 2", 2, runs_between=False),
    "uwsgi-threads": Kind("uwsgi", f"{_UWSGI} --processes 2 --enable-threads", 2),
    "uwsgi-lazy": Kind("uwsgi", f"{_UWSGI} --processes 2 --enable-threads --lazy-apps", 2),
    "uwsgi-begun": Kind("uwsgi", f"{_UWSGI} --processes 2 --enable-threads", 2, begins=True),
    "celery-prefork": Kind("celery", f"{_CELERY} --pool prefork -c 2", 2),
    "celery-threads": Kind("celery", f"{_CELERY} --pool threads -c 4"),
    "celery-solo": Kind("celery", f"{_CELERY} --pool solo"),
    "runserver": Kind("django", "-m django runserver 127.0.0.1:{port}", is_quick=True),
}
