"""Requests that Schemathesis makes up from the schema, sent to the running example site.

No answer is a 5xx, has a status, header, content type or body the schema does not have; what
the schema forbids is refused, and what it allows is not. tests/api/test_schema.py holds
every answer of the suite to the schema as well, and tries each refusal on its own.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from example_project import demo_data
from tests.running import ROOT, Site, example_site, need

pytestmark = pytest.mark.schema

CONFIGURATION = Path(__file__).with_name("schemathesis.toml")
SCHEMATHESIS = (sys.executable, "-m", "schemathesis.cli")
ADA, GRACE = demo_data.PEOPLE
OPERATIONS = 12
# What is asked for by whom. Grace may not introspect tokens, and Ada may everything.
RUNS = [
    *((transport, GRACE, OPERATIONS, []) for transport in ("nobody", "cookie", "bearer", "jwt")),
    *(
        (transport, ADA, 1, ["--include-operation-id", "introspect_token"])
        for transport in ("bearer", "jwt")
    ),
]


@pytest.fixture(scope="module")
def running_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The site, with a key to publish."""
    directory = tmp_path_factory.mktemp("site")
    key = directory / "access.pem"
    pem = (Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    key.write_bytes(Ed25519PrivateKey.generate().private_bytes(*pem))
    settings = "tests.openapi.settings"
    with example_site(directory, DJANGO_SETTINGS_MODULE=settings, ACCESS_KEY=str(key)) as site:
        yield site


@pytest.mark.parametrize(("transport", "person", "selected", "options"), RUNS)
def test_the_site_answers_as_its_schema_says(
    transport: str,
    person: demo_data.Person,
    selected: int,
    options: list[str],
    running_site: Site,
) -> None:
    need(find_spec("schemathesis"), "schemathesis")
    schema = f"{running_site.address}/auth/schema?format=json"
    finished = subprocess.run(
        [*SCHEMATHESIS, "--config-file", str(CONFIGURATION), "run", schema, *options],
        cwd=ROOT,
        check=False,
        env={
            **os.environ,
            "SCHEMATHESIS_HOOKS": "tests.openapi.hooks",
            "PYTHONPATH": str(ROOT),
            "SITE": running_site.address,
            "TRANSPORT": transport,
            "SITE_USER": person.username,
            "SITE_PASSWORD": person.password,
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert finished.returncode == 0, finished.stdout
    # All of them, and not one that was left out because it could not be read.
    assert f"Operations:       {selected} selected / {OPERATIONS} total" in finished.stdout
