"""The admin does not break under django-unfold, which brings templates of its own."""

import os
import subprocess
import sys
from importlib.util import find_spec

import pytest

from tests.running import ROOT, need


@pytest.mark.browser
def test_the_pages_work_in_its_dress():
    need(find_spec("unfold"), "django-unfold")
    # In a process of its own: it puts another site in the place of Django's while apps load.
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-n", "0", "tests/unfold/pages.py"],
        cwd=ROOT,
        env={
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "tests.unfold.settings",
            "DATABASE_URL": "sqlite://:memory:",
            "SESSIONS_TEST_ENGINE": "db",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
