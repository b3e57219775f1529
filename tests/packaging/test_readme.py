"""A project written from nothing but the README serves sign-in and revocation."""

import http.cookiejar
import json
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.packaging import readme
from tests.packaging.conftest import Distributions
from tests.ports import free_port

pytestmark = [pytest.mark.packaging, pytest.mark.slow]

USERNAME = "ada"
PASSWORD = "not a secret in a test"
PATIENCE = 120


@dataclass
class Browser:
    """A client with a cookie jar of its own."""

    site: str
    jar: http.cookiejar.CookieJar = field(default_factory=http.cookiejar.CookieJar)

    def send(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Send a request and return the status and what the JSON of the answer says."""
        request = urllib.request.Request(
            self.site + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json", "X-CSRFToken": self.cookie("csrftoken")},
        )
        opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(self.jar))
        try:
            with opener.open(request, timeout=PATIENCE) as response:
                return response.status, json.loads(response.read() or "null")
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def cookie(self, name: str) -> str:
        """Return a cookie's value, empty when there is none."""
        return next((cookie.value or "" for cookie in self.jar if cookie.name == name), "")

    def sign_in(self) -> None:
        assert self.send("GET", "/auth/session") == (200, {"session": None, "user": None})
        status, answer = self.send(
            "POST", "/auth/sign-in", {"username": USERNAME, "password": PASSWORD}
        )
        assert status == 200, answer


@pytest.fixture(scope="module")
def python(empty_python: Path, distributions: Distributions) -> Path:
    """The Python of an environment with the wheel and what it requires."""
    command = [str(empty_python), "-m", "pip", "install", "-qq", str(distributions.wheel)]
    readme.run(command, distributions.wheel.parent)
    return empty_python


@pytest.fixture(scope="module")
def project(
    python: Path, distributions: Distributions, root: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A new project that has followed the README."""
    directory = tmp_path_factory.mktemp("project")
    django_admin = [str(python), "-m", "django", "startproject", "mysite", str(directory)]
    readme.run(django_admin, directory)
    # A site has a key of its own, and check W037 says so where it has that of startproject.
    settings = directory / "mysite" / "settings.py"
    settings.write_text(
        settings.read_text().replace("django-insecure-", "long-enough-and-our-own-")
    )
    readme.follow((root / "README.md").read_text(), directory, python, distributions.wheel)
    readme.run(
        [str(python), "manage.py", "createsuperuser", "--noinput", "--verbosity", "0"],
        directory,
        DJANGO_SUPERUSER_USERNAME=USERNAME,
        DJANGO_SUPERUSER_PASSWORD=PASSWORD,
        DJANGO_SUPERUSER_EMAIL="ada@example.org",
    )
    return directory


@pytest.fixture(scope="module")
def site(python: Path, project: Path) -> Iterator[str]:
    """The address of the running project."""
    address = f"127.0.0.1:{free_port()}"
    command = [str(python), "manage.py", "runserver", "--noreload", address]
    with subprocess.Popen(command, cwd=project, env=readme.environment()) as server:
        try:
            wait_for(server, f"http://{address}/auth/session")
            yield f"http://{address}"
        finally:
            server.terminate()


def wait_for(server: subprocess.Popen[bytes], url: str) -> None:
    """Return when something answers at ``url``."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        assert server.poll() is None, "the project does not start"
        try:
            urllib.request.urlopen(url, timeout=PATIENCE).close()
        except urllib.error.HTTPError as error:
            error.close()
            return
        except OSError:
            time.sleep(0.1)
        else:
            return
    pytest.fail(f"{url} does not answer")


def test_the_readme_has_six_steps(root: Path) -> None:
    assert readme.count_steps((root / "README.md").read_text()) == readme.STEPS


def test_the_project_passes_every_check(python: Path, project: Path) -> None:
    readme.run([str(python), "manage.py", "check", "--fail-level", "WARNING"], project)


def test_the_project_has_no_migration_to_make(python: Path, project: Path) -> None:
    readme.run([str(python), "manage.py", "makemigrations", "--check", "--dry-run"], project)


def test_a_revoked_device_is_signed_out_at_its_next_request(site: str) -> None:
    laptop, phone = Browser(site), Browser(site)
    laptop.sign_in()
    phone.sign_in()

    status, answer = laptop.send("GET", "/auth/sessions")
    assert status == 200, answer
    sessions = answer["results"] if isinstance(answer, dict) else answer
    assert len(sessions) == 2
    (other,) = (session["id"] for session in sessions if not session["is_current"])
    assert phone.send("GET", "/auth/session")[1]["user"] is not None

    assert laptop.send("DELETE", f"/auth/sessions/{other}")[0] == 204

    ended = {"session": None, "user": None, "ended": {"reason": "revoked"}}
    assert phone.send("GET", "/auth/session") == (200, ended)
    assert phone.send("GET", "/auth/session") == (200, {"session": None, "user": None})
    assert laptop.send("GET", "/auth/session")[1]["user"] is not None
