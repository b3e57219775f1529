"""Two real processes, one before and one after the switch, and browsers whose requests go to either."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import urllib.parse
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from http.cookiejar import CookieJar, DefaultCookiePolicy
from pathlib import Path

import pytest

from tests.ports import free_port
from tests.running import ROOT, wait_for

pytestmark = pytest.mark.thorough

BROWSERS = 40
SETTINGS = """
import os
from tests.settings import *

INSTALLED_APPS = [*INSTALLED_APPS, "django.contrib.sessions"]
ROOT_URLCONF = "tests.site"
ALLOWED_HOSTS = ["*"]
MIDDLEWARE = [each for each in MIDDLEWARE if "csrf" not in each]
DATABASES = {"default": {
    "ENGINE": "django.db.backends.sqlite3",
    "NAME": os.environ["SIDE_BY_SIDE"],
    "OPTIONS": {"timeout": 30, "transaction_mode": "IMMEDIATE"},
}}
SESSIONS_PLUS_IMPORT_FROM = ["django"]
if os.environ.get("BEFORE_SWITCH"):
    SESSION_ENGINE = "django.contrib.sessions.backends.db"
"""


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[list[str]]:
    """The addresses of a process before the switch and of one after it, on one database."""
    (tmp_path / "side_by_side.py").write_text(SETTINGS)
    environment = {
        **os.environ,
        "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}",
        "DJANGO_SETTINGS_MODULE": "side_by_side",
        "SIDE_BY_SIDE": str(tmp_path / "db.sqlite3"),
    }
    django = [sys.executable, "-m", "django"]
    subprocess.run([*django, "migrate", "--verbosity", "0"], env=environment, check=True, cwd=ROOT)
    people = "; ".join(f"User.objects.create(username='user{n}')" for n in range(BROWSERS))
    script = f"from django.contrib.auth.models import User; {people}"
    subprocess.run([*django, "shell", "-c", script], env=environment, check=True, cwd=ROOT)
    with ExitStack() as stack:
        yield [
            stack.enter_context(served(django, environment | {"BEFORE_SWITCH": before}))
            for before in ("1", "")
        ]


@contextmanager
def served(django: list[str], environment: dict[str, str]) -> Iterator[str]:
    address = f"127.0.0.1:{free_port()}"
    command = [*django, "runserver", "--noreload", "--skip-checks", address]
    server = subprocess.Popen(
        command, env=environment, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        wait_for(f"http://{address}", server, "/who")
        yield f"http://{address}"
    finally:
        server.terminate()
        server.wait()


class Visitor:
    """A browser behind a balancer that sends each request to one of the processes, by chance."""

    def __init__(self, number: int, addresses: list[str]) -> None:
        self.name = f"user{number}"
        self.chance = random.Random(number)
        self.addresses = addresses
        self.jar = CookieJar(DefaultCookiePolicy(strict_ns_domain=0))
        self.opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(self.jar))

    def ask(self, path: str, **form: str) -> str:
        data = urllib.parse.urlencode(form).encode() if form else None
        with self.opener.open(f"{self.chance.choice(self.addresses)}{path}", data) as answer:
            return str(answer.read(), "utf-8")

    def visit(self) -> list[str]:
        """Do what people do, and return what was wrong."""
        wrong = []
        self.ask("/count")
        self.ask("/sign-in", user=self.name)
        for number in range(2, 12):
            found = self.ask("/who"), self.ask("/count")
            if found != (self.name, str(number)):
                wrong.append(f"{self.name}, {number}: {found}")
        self.ask("/sign-out", user=self.name)
        wrong += [f"{self.name} is still {said}" for _ in range(4) if (said := self.ask("/who"))]
        return wrong


def test_in_a_deployment_nobody_is_signed_out_and_nothing_is_lost(processes: list[str]):
    visitors = [Visitor(number, processes) for number in range(BROWSERS)]
    with ThreadPoolExecutor(8) as pool:
        wrong = [each for found in pool.map(Visitor.visit, visitors) for each in found]
    assert wrong == []
