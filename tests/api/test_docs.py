"""The shell examples of the pages, pasted into a shell one after the other."""

import os
import shutil
import subprocess

import pytest
from django.contrib.auth.models import Permission, User

from django_sessions_plus import sessions
from django_sessions_plus.models import Session
from tests.running import need
from tests.test_docs import DOCS, blocks

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.docs,
    pytest.mark.slow,
    pytest.mark.urls("tests.api.oauth_urls"),
]

# An answer of 400 and above ends the shell.
STRICT = 'set -euo pipefail; curl() { command curl --fail-with-body "$@"; }\n'


@pytest.fixture
def paste(live_server, tmp_path):
    """Run the examples of a page and return what they print."""
    need(shutil.which("curl"), "curl")

    def run(page, **environment):
        examples = "".join(block for block in blocks(DOCS / page, "sh") if "curl" in block)
        return subprocess.run(
            ["bash", "-c", STRICT + examples.replace("http://127.0.0.1:8000", live_server.url)],
            cwd=tmp_path,
            check=True,
            env={**os.environ, **environment},
            stdout=subprocess.PIPE,
            text=True,
        ).stdout

    return run


@pytest.fixture
def ada(transactional_db):
    return User.objects.create_user("ada", "ada@example.com", "analytical-engine-1843")


def test_the_examples_of_the_api_can_be_run(paste, ada):
    said = paste("api.md")
    assert said.count('"results":') == 2
    # By token and by cookie; the one by pair has signed out.
    assert Session.objects.active().filter(user=ada).count() == 2


def test_the_examples_of_introspection_can_be_run(paste, ada):
    service = User.objects.create_user("inventory-service")
    service.user_permissions.set(Permission.objects.filter(codename="introspect_token"))
    said = paste(
        "oauth.md",
        SERVICE=sessions.start(service).session_key,
        TOKEN=sessions.start(ada).session_key,
    )
    assert '"active":true' in said
    assert not Session.objects.active().filter(user=ada).exists()
