"""The system checks that need key files, or a library that is not there."""

import sys

import pytest
from django.apps import apps
from django.core import checks
from django.test import override_settings

from django_sessions_plus.jwt import algorithms
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
    monkeypatch.setattr(algorithms, "HAS_CRYPTOGRAPHY", False)
    (message,) = messages(entry("ES256"), entry("EdDSA"), **NAMED)
    assert message.id == f"{PREFIX}E021"
    assert message.level == checks.ERROR
    assert "the extra 'asymmetric'" in str(message.hint)
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


def test_one_issuer_for_all_tenants_is_warned_of(monkeypatch):
    is_installed = apps.is_installed
    monkeypatch.setattr(
        apps, "is_installed", lambda name: name == "django_tenants" or is_installed(name)
    )
    assert found_with() == ["W036"]
    for name in ("ISSUER", "AUDIENCE", "KEYS"):
        assert found_with(**{f"SESSIONS_PLUS_JWT_{name}": str}) == []


def found_with(*, deploy=False, **values):
    with override_settings(**SAFE, **values):
        found = checks.run_checks(tags=["django_sessions_plus"], include_deployment_checks=deploy)
    return [str(message.id).removeprefix(PREFIX) for message in found]


MOUNTED = {"ROOT_URLCONF": "tests.api.urls"}
STRONG = "k3v9x0q2m7c1z8b4n6d5s0a1f2g3h4j5-l6p7o8i9u0y1t2r3e4w5q6"


@pytest.mark.parametrize(
    "weak", ["django-insecure-" + STRONG, STRONG[:49], "ab" * 30], ids=["made", "short", "alike"]
)
def test_a_secret_key_that_can_be_guessed_is_an_error_in_production(weak):
    """A single access token is enough to try guesses on, without asking anybody."""
    assert "W037" in found_with(SECRET_KEY=weak, **MOUNTED, **NAMED)
    assert "W037" not in found_with(SECRET_KEY=weak, DEBUG=True, **MOUNTED, **NAMED)
    for debug in (True, False):
        assert "E032" in found_with(SECRET_KEY=weak, DEBUG=debug, deploy=True, **MOUNTED, **NAMED)
    for harmless in (
        {"SECRET_KEY": STRONG, **MOUNTED},
        {"SECRET_KEY": weak, **MOUNTED, "SESSIONS_PLUS_JWT_KEYS": [{"secret": STRONG}]},
        {"SECRET_KEY": weak, "ROOT_URLCONF": "tests.urls"},
    ):
        assert not {"W037", "E032"} & set(found_with(deploy=True, **harmless))


def test_one_key_that_can_be_guessed_is_one_problem(monkeypatch):
    weak = {"SECRET_KEY": "short", **MOUNTED, **NAMED}
    for arguments, expected in (
        (["check", "--deploy"], {"E032"}),
        (["check", "--fail-level", "WARNING", "--deploy"], {"E032"}),
    ):
        monkeypatch.setattr(sys, "argv", ["manage.py", *arguments])
        assert {"W037", "E032"} & set(found_with(deploy=True, **weak)) == expected
    for arguments in (["check"], ["runserver"], []):
        monkeypatch.setattr(sys, "argv", ["manage.py", *arguments])
        assert {"W037", "E032"} & set(found_with(**weak)) == {"W037"}


def test_a_secret_that_other_services_would_need_is_warned_of(entry):
    others = {"SESSIONS_PLUS_TOKEN_AUDIENCES": ["https://reports.example"], **NAMED}
    for name in SYMMETRIC:
        assert codes(entry(name), **others) == ["W018"]
        # It is the first that signs.
        assert codes(entry(name), entry("ES256"), **others) == ["W018"]
    for name in ASYMMETRIC:
        assert codes(entry(name), entry("HS256"), **others) == []
    assert "W018" in found_with(**others)
    (message,) = messages(entry("HS256"), **others)
    assert (message.level, "asymmetric" in str(message.hint)) == (checks.WARNING, True)


def test_no_secret_is_warned_of_where_it_is_this_sites_own_or_cannot_be_known(entry):
    own = {"SESSIONS_PLUS_TOKEN_AUDIENCES": [NAMED["SESSIONS_PLUS_JWT_AUDIENCE"]], **NAMED}
    assert "W018" not in codes(entry("HS256"), **own)
    others = {"SESSIONS_PLUS_TOKEN_AUDIENCES": ["https://reports.example"], **NAMED}
    assert "W018" not in codes(entry("HS256"), **NAMED)
    assert "W018" not in codes({"secret": "short"}, **others)
    assert "W018" not in found_with(SESSIONS_PLUS_JWT_KEYS=lambda request: [], **others)


def test_no_message_shows_the_secret_key():
    with override_settings(**SAFE, SECRET_KEY="tell nobody", **MOUNTED):
        found = checks.run_checks(tags=["django_sessions_plus"], include_deployment_checks=True)
    assert any(message.id == f"{PREFIX}E032" for message in found)
    assert "tell nobody" not in str(found)


def test_the_default_issuer_and_audience_are_warned_of_in_production():
    strong = {"SECRET_KEY": STRONG, **MOUNTED}
    assert "W038" in found_with(deploy=True, **strong)
    assert "W038" not in found_with(**strong)
    assert "W038" not in found_with(deploy=True, SECRET_KEY=STRONG, ROOT_URLCONF="tests.urls")
    for name, value in NAMED.items():
        assert "W038" not in found_with(deploy=True, **strong, **{name: value})


def test_tokens_over_plain_http_are_warned_of_in_production():
    strong = {"SECRET_KEY": STRONG, **MOUNTED, **NAMED}
    assert "W041" in found_with(deploy=True, **strong)
    assert "W041" not in found_with(**strong)
    assert "W041" not in found_with(deploy=True, SECRET_KEY=STRONG, ROOT_URLCONF="tests.urls")
    for secure in ("SECURE_SSL_REDIRECT", "SESSIONS_PLUS_REQUIRE_HTTPS"):
        assert "W041" not in found_with(deploy=True, **strong, **{secure: True})


def test_keys_of_the_wrong_type_are_reported_once():
    assert [message.id for message in messages_of(["secret"])] == [f"{PREFIX}E001"]
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
