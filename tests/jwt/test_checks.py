"""The system checks that need key files, or a library that is not there."""

import pytest
from django.core import checks
from django.test import override_settings

from django_sessions_plus.jwt import pem
from tests.jwt.conftest import ASYMMETRIC, SYMMETRIC
from tests.test_checks import SAFE

PREFIX = "django_sessions_plus."
NAMED = {
    "SESSIONS_PLUS_JWT_ISSUER": "https://example.com",
    "SESSIONS_PLUS_JWT_AUDIENCE": "https://api.example.com",
}


def messages(*entries, deploy=True, **values):
    with override_settings(**SAFE, SESSIONS_PLUS_JWT_KEYS=list(entries), **values):
        return checks.run_checks(tags=["django_sessions_plus"], include_deployment_checks=deploy)


def codes(*entries, **values):
    return [str(message.id).removeprefix(PREFIX) for message in messages(*entries, **values)]


@pytest.mark.parametrize("name", [*SYMMETRIC, *ASYMMETRIC])
def test_good_keys_are_left_alone(entry, name):
    assert codes(entry(name), **NAMED) == []


def test_a_missing_library_is_named_once(entry, monkeypatch):
    monkeypatch.setattr(pem, "AVAILABLE", False)
    (message,) = messages(entry("ES256"), entry("EdDSA"), **NAMED)
    assert message.id == f"{PREFIX}E021"
    assert message.level == checks.ERROR
    assert "pip install 'django-sessions-plus[asymmetric]'" in str(message.hint)
    assert codes(entry("HS256"), **NAMED) == []


def test_files_are_reported_by_what_is_wrong_with_them(entry, pems, tmp_path):
    short = {"file": pems["short RSA"].private, "algorithm": "RS256"}
    other = {"file": pems["P-384"].private, "algorithm": "ES256"}
    gone = {"file": tmp_path / "gone.pem", "algorithm": "ES256"}
    assert codes(short, **NAMED) == ["E020"]
    assert codes(other, **NAMED) == ["E018"]
    assert codes(gone, **NAMED) == ["E019"]
    assert codes({"file": pems["ES256"].public, "algorithm": "ES256"}, **NAMED) == ["E018"]


def test_a_private_key_that_everybody_can_read_is_warned_of(entry, pems, tmp_path):
    file = tmp_path / "open.pem"
    file.write_bytes(pems["ES256"].private.read_bytes())
    open_to_all = {"file": file, "algorithm": "ES256"}
    for mode, expected in ((0o644, ["W024"]), (0o604, ["W024"]), (0o640, []), (0o400, [])):
        file.chmod(mode)
        assert codes(open_to_all, **NAMED) == expected
    file.chmod(0o644)
    (message,) = messages(open_to_all, **NAMED)
    assert message.level == checks.WARNING
    assert str(file) in message.msg
    assert messages(open_to_all, deploy=False, **NAMED) == []


def test_a_file_of_the_wrong_type_stops_no_check():
    for file in (3, None, "a\0b"):
        assert codes({"file": file, "algorithm": "ES256"}, **NAMED) in (["E018"], ["E019"])


def test_a_public_key_may_be_read_by_everybody(entry, pems):
    pems["ES256"].public.chmod(0o644)
    assert (
        codes(entry("HS256"), {"file": pems["ES256"].public, "algorithm": "ES256"}, **NAMED) == []
    )


@pytest.mark.parametrize("name", NAMED)
def test_public_keys_call_for_names_of_ones_own(entry, name):
    left = {other: value for other, value in NAMED.items() if other != name}
    (message,) = messages(entry("ES256"), **left)
    assert message.id == f"{PREFIX}I005"
    assert message.level == checks.INFO
    assert str(message.hint).endswith(".")
    assert codes(entry("HS256"), **left) == []


def test_the_default_among_several_audiences_is_no_name_of_ones_own(entry):
    several = {**NAMED, "SESSIONS_PLUS_JWT_AUDIENCE": ["billing", "django-sessions-plus"]}
    assert codes(entry("EdDSA"), **several) == ["I005"]


def test_keys_of_the_wrong_type_are_reported_once():
    assert [message.id for message in messages_of("secret")] == [f"{PREFIX}E001"]
    (message,) = messages_of({"secret": "tell nobody"})
    assert "tell nobody" not in f"{message.msg} {message.hint}"


def messages_of(value):
    with override_settings(**SAFE, SESSIONS_PLUS_JWT_KEYS=value):
        return checks.run_checks(tags=["django_sessions_plus"])


def test_no_message_shows_a_secret():
    for secret in ("tell nobody", "tell nobody, for this is long enough", "tell"):
        found = messages({"secret": secret, "file": "a.pem"}, {"secret": secret}, **NAMED)
        assert found
        assert secret not in str(found)


def test_a_project_without_a_secret_key_hears_it_from_django():
    with override_settings(**SAFE, SECRET_KEY=""):
        assert checks.run_checks(tags=["django_sessions_plus"]) == []
    assert codes({"secret": "0123456789abcdef" * 2}, SECRET_KEY="") == []
