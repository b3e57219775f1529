"""The page on access tokens held against the code."""

import re
import shlex
import shutil
import subprocess
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.test import override_settings

from django_sessions_plus.jwt import access, claims, keys
from django_sessions_plus.models import Session
from tests.jwt.conftest import NOW
from tests.jwt.forging import parts
from tests.running import need
from tests.test_docs import DOCS, blocks, code, run, settings_of, table, text_of

pytestmark = pytest.mark.docs

PAGE = DOCS / "jwt.md"


def test_the_sizes_are_those_of_tokens_with_the_default_claims(pems):
    session = Session(
        user=User(pk=1, email="ada@example.com"),
        authenticated_at=NOW,
        expires_at=NOW + timedelta(days=1),
    )
    documented = {
        code(name)[0]: int(size) for name, size, *_ in table("jwt.md", "algorithm", "bytes")
    }
    for name, size in documented.items():
        with override_settings(
            SESSIONS_PLUS_JWT_ALGORITHM=name,
            SESSIONS_PLUS_JWT_KEYS=[{"file": pems[name].private}] if name in pems else None,
        ):
            assert len(access.issue(session, now=NOW).token) == size
    assert f"| {min(documented.values())} to {max(documented.values())} bytes" in text_of("jwt.md")


def test_the_page_lists_every_claim():
    documented = {name for row in table("jwt.md", "claim", "says") for name in code(row[0])}
    assert documented == claims.RESERVED


def test_the_page_lists_every_member_of_an_entry():
    assert {code(name)[0] for name, _ in table("jwt.md", "in an entry", "is")} == keys._MEMBERS


@pytest.mark.django_db
def test_the_example_issues_and_reads_tokens(alice, client, rf):
    (example,) = (block for block in blocks(PAGE, "python") if "def issue_for" in block)
    names = run(example)
    client.force_login(alice)
    request = rf.get("/")
    request.user, request.session = alice, client.session
    token, seconds = names["issue_for"](request)
    assert 850 <= seconds <= 900
    assert names["session_id_of"](token) == request.session.row.pk
    assert names["session_id_of"]("another") is None


def test_the_example_of_claims_gives_claims(session):
    (example,) = (block for block in blocks(PAGE, "python") if "JWT_CLAIMS" in block)
    with override_settings(**settings_of(example)):
        told = parts(access.issue(session, now=NOW).token)[1]
    assert (told["email"], told["staff"]) == ("ada@example.com", False)


def test_the_keys_that_are_made_as_it_says_can_be_used_as_it_says(tmp_path, session):
    need(shutil.which("openssl"), "openssl")
    (commands,) = (block for block in blocks(PAGE, "sh") if "openssl" in block)
    *makers, mode = commands.splitlines()
    (public,) = re.findall(r"`(openssl pkey [^`]+)`", text_of("jwt.md"))
    for maker, name in zip(makers, ("EdDSA", "ES256", "RS256"), strict=True):
        for command in (maker, mode, public.replace("\n", " ")):
            subprocess.run(shlex.split(command), cwd=tmp_path, check=True, capture_output=True)
        private = {"algorithm": name, "file": tmp_path / "access-1.pem"}
        with override_settings(SESSIONS_PLUS_JWT_KEYS=[private]):
            token = access.issue(session, now=NOW).token
        verifier = {"algorithm": name, "file": tmp_path / "access-1.pub.pem"}
        with override_settings(
            SESSIONS_PLUS_JWT_KEYS=[{"secret": "0123456789abcdef" * 2}, verifier]
        ):
            assert access.verify(token, now=NOW).session_id == session.pk
        (tmp_path / "access-1.pem").unlink()


def test_its_settings_for_keys_work_where_the_files_are(pems, session):
    examples = [settings_of(block) for block in blocks(PAGE, "python")]
    found = [values for values in examples if "SESSIONS_PLUS_JWT_KEYS" in values]
    assert len(found) == 2
    tokens = []
    for values in found:
        for entry in values["SESSIONS_PLUS_JWT_KEYS"]:
            entry["file"] = pems[entry["algorithm"]].private
        with override_settings(**values):
            tokens.append(access.issue(session, now=NOW).token)
            assert access.verify(tokens[-1], now=NOW)
    assert [parts(token)[0]["alg"] for token in tokens] == ["EdDSA", "ES256"]
