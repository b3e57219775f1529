"""What tokens tell of a user: as much as was asked for, never more."""

from datetime import UTC, datetime

import pytest
from django.contrib.auth.models import User
from django.test import override_settings

from django_sessions_plus.exceptions import ConfigurationError
from django_sessions_plus.jwt import access, claims
from tests.jwt.conftest import NOW
from tests.jwt.forging import parts


def of_the_staff(user, session):
    """Tell what a project may want to tell."""
    return {"staff": user.is_staff, "device": session.user_agent, "since": user.date_joined}


def test_by_default_the_id_and_address_are_told_and_a_role_if_there_is_one(user, session):
    assert claims.configured(user, session) == {"id": 7, "email": "ada@example.com"}
    user.role = "editor"
    assert "role" not in claims.configured(user, session), "an attribute is no field"


@override_settings(SESSIONS_PLUS_JWT_CLAIMS=["username", "is_staff", "nothing", "date_joined"])
def test_the_fields_that_are_named_are_told_and_those_the_model_lacks_are_left_out(user, session):
    user.date_joined = datetime(2029, 1, 1, tzinfo=UTC)
    token = access.issue(session, user=user, now=NOW).token
    told = {name: value for name, value in parts(token)[1].items() if name not in claims.RESERVED}
    assert told == {"username": "ada", "is_staff": False, "date_joined": "2029-01-01T00:00:00Z"}


@override_settings(SESSIONS_PLUS_JWT_CLAIMS=["password", "email"])
def test_the_password_is_never_told(user, session):
    assert claims.configured(user, session) == {"email": "ada@example.com"}


@pytest.mark.parametrize("value", [of_the_staff, "tests.jwt.test_claims.of_the_staff"])
def test_a_callable_says_what_is_told(user, session, value):
    user.date_joined = datetime(2029, 1, 1, tzinfo=UTC)
    with override_settings(SESSIONS_PLUS_JWT_CLAIMS=value):
        told = parts(access.issue(session, user=user, now=NOW).token)[1]
    assert told["staff"] is False
    assert told["device"] is None
    assert told["since"] == "2029-01-01T00:00:00Z"
    assert "email" not in told


@override_settings(SESSIONS_PLUS_JWT_CLAIMS=[])
def test_nothing_at_all_may_be_told(user, session):
    assert claims.configured(user, session) == {}


@pytest.mark.parametrize("name", sorted(claims.RESERVED))
def test_no_claim_of_the_package_can_be_written(user, session, name):
    with (
        override_settings(SESSIONS_PLUS_JWT_CLAIMS=lambda user, session: {name: "mine"}),
        pytest.raises(ConfigurationError, match=f"'{name}'"),
    ):
        access.issue(session, user=user, now=NOW)


def test_the_claims_of_the_package_are_those_that_cannot_be_written(user, session):
    with override_settings(SESSIONS_PLUS_JWT_CLAIMS=[]):
        assert parts(access.issue(session, user=user, now=NOW).token)[1].keys() == claims.RESERVED


@pytest.mark.parametrize(
    "value",
    [
        lambda user, session: None,
        lambda user, session: ["email"],
        lambda user, session: {1: "a"},
        lambda user, session: {"a": {1, 2}},
        lambda user, session: {"a": b"bytes"},
        lambda user, session: {"a": float("nan")},
        lambda user, session: {"a": User()},
        lambda user, session: {"a": "x" * 8192},
        "tests.nowhere.claims",
        "claims",
    ],
)
def test_what_makes_no_claims_is_a_configuration_error(user, session, value):
    with (
        override_settings(SESSIONS_PLUS_JWT_CLAIMS=value),
        pytest.raises(ConfigurationError, match="SESSIONS_PLUS_JWT_CLAIMS"),
    ):
        access.issue(session, user=user, now=NOW)
