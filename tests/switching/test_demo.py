"""``make demo-switch``, as far as it is a command: a person who is signed in stays so, there and back."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Callable
from http.cookiejar import CookieJar
from pathlib import Path
from urllib.error import HTTPError, URLError

import pytest

from tests.ports import free_port
from tests.running import ROOT

pytestmark = pytest.mark.thorough

PATIENCE = 60


class Visitor:
    """A browser that waits while the site starts again."""

    def __init__(self, site: str) -> None:
        self.site = site
        processor = urllib.request.HTTPCookieProcessor(CookieJar())
        self.opener = urllib.request.build_opener(processor)

    def ask(self, path: str, **form: str) -> str:
        data = urllib.parse.urlencode(form).encode() if form else None
        try:
            with self.opener.open(self.site + path, data) as answer:
                return str(answer.read(), "utf-8")
        except HTTPError as error:
            with error:
                return f"{error.code} {error.read().decode()}"
        except (URLError, ConnectionError):
            return ""

    def wait(self, path: str, is_right: Callable[[str], bool]) -> str:
        deadline = time.monotonic() + PATIENCE
        while not is_right(text := self.ask(path)):
            assert time.monotonic() < deadline, text[:2000]
            time.sleep(0.1)
        return text


def test_whoever_is_signed_in_stays_signed_in_there_and_back(tmp_path: Path):
    port = str(free_port())
    environment = {
        **os.environ,
        "DATABASE_URL": f"sqlite:///{tmp_path / 'db.sqlite3'}",
        "DJANGO_SETTINGS_MODULE": "example_project.switch_settings",
        "PYTHONWARNINGS": "ignore",
    }
    manage = [sys.executable, str(ROOT / "manage.py")]
    subprocess.run([*manage, "migrate", "--verbosity", "0"], env=environment, check=True)
    command = [*manage, "demo_switch", port]
    with subprocess.Popen(
        command,
        env=environment,
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as demo:
        assert demo.stdin is not None
        assert demo.stdout is not None
        visitor = Visitor(f"http://127.0.0.1:{port}")
        form = visitor.wait("/sign-in/", bool)
        fields = dict(re.findall(r'name="(csrfmiddlewaretoken)" value="([^"]+)"', form))
        visitor.ask("/sign-in/", username="grace", password="nanosecond-wire-1952", **fields)
        assert "Django's own sessions" in visitor.ask("/")
        assert visitor.ask("/devices/").startswith("503")

        demo.stdin.write("\n")
        demo.stdin.flush()
        home = visitor.wait("/", lambda text: "one row in the database" in text)
        assert "Hello, Grace" in home
        # The visits before the switch still count.
        assert re.search(r'data-visits="home">([3-9]|\d\d)<', home)
        assert "This device" in visitor.ask("/devices/")

        demo.stdin.write("\n")
        demo.stdin.flush()
        # By then the process before has ended.
        assert any("Django's own engine is set again" in line for line in demo.stdout)
        assert "Hello, Grace" in visitor.wait("/", bool)
        demo.stdin.close()
        demo.stdout.read()
    assert demo.returncode == 0
