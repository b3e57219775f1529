"""Access tokens: what is in them, how long they live, and who is told what of them."""

import json
from datetime import UTC, datetime, timedelta
from unittest import mock
from uuid import UUID

import pytest
from django.contrib.auth.models import User
from django.test import override_settings
from django.utils import timezone
from django.views.debug import SafeExceptionReporterFilter
from hypothesis import given
from hypothesis import strategies as st

from django_sessions_plus.exceptions import (
    ConfigurationError,
    SessionsPlusError,
    StaleSessionError,
    TokenError,
    TokenExpiredError,
)
from django_sessions_plus.jwt import access, compact, keys
from django_sessions_plus.models import Session
from tests.jwt.conftest import NOW
from tests.jwt.forging import parts, signed

exact = mock.patch.object(access, "JITTER", 0)
SECOND = timedelta(seconds=1)
EPOCH = int(NOW.timestamp())


def issue(session, now=NOW):
    return access.issue(session, now=now)


# What is issued


@exact
def test_a_token_says_what_it_is_whose_and_until_when(session, user):
    issued = issue(session)
    header, claims, _ = parts(issued.token)
    jti, cred = claims.pop("jti"), claims.pop("cred")
    assert header == {"alg": "HS256", "kid": keys.signing_key().kid, "typ": "at+jwt"}
    assert claims == {
        "type": "access",
        "sub": "7",
        "sid": str(session.pk),
        "iss": "django-sessions-plus",
        "aud": "django-sessions-plus",
        "iat": EPOCH,
        "nbf": EPOCH,
        "exp": EPOCH + 900,
        "auth_time": EPOCH - 3600,
        "id": 7,
        "email": "ada@example.com",
    }
    assert (len(compact.decode(jti)), len(compact.decode(cred))) == (16, 12)
    assert issued.expires_in == 900
    assert issued.expires_at == NOW + timedelta(minutes=15)


def test_no_two_tokens_are_the_same(session):
    tokens = [issue(session).token for _ in range(50)]
    assert len({parts(token)[1]["jti"] for token in tokens}) == 50


def test_what_was_issued_verifies(session, algorithm):
    issued = issue(session)
    claims = access.verify(issued.token, now=NOW)
    assert claims.user_id == "7"
    assert claims.session_id == session.pk
    assert claims.expires_at == issued.expires_at
    assert claims.auth_time == session.authenticated_at
    assert claims.all == parts(issued.token)[1]


def test_the_time_is_the_present_unless_it_is_given(session, clock):
    token = access.issue(session).token
    assert parts(token)[1]["iat"] == int(clock.now().timestamp())
    access.verify(token)
    clock.advance(minutes=16)
    with pytest.raises(TokenExpiredError):
        access.verify(token)


@override_settings(
    SESSIONS_PLUS_JWT_ISSUER="https://example.com",
    SESSIONS_PLUS_JWT_AUDIENCE=["https://api.example.com", "billing"],
)
def test_issuer_and_audience_are_those_that_are_set(session):
    claims = parts(issue(session).token)[1]
    assert claims["iss"] == "https://example.com"
    assert claims["aud"] == ["https://api.example.com", "billing"]
    access.verify(issue(session).token, now=NOW)


@exact
def test_a_token_does_not_outlive_the_absolute_timeout(session):
    limit = session.authenticated_at + timedelta(days=30)
    session.expires_at = limit + timedelta(days=1)
    issued = issue(session, limit - timedelta(minutes=5))
    assert issued.expires_at == limit
    assert issued.expires_in == 300
    assert issue(session, limit - timedelta(minutes=15)).expires_in == 900
    with override_settings(SESSIONS_PLUS_ABSOLUTE_AGE=None):
        assert issue(session, limit - timedelta(minutes=5)).expires_in == 900


@exact
def test_a_token_does_not_outlive_the_idle_timeout(session):
    session.expires_at = NOW + 300 * SECOND
    issued = issue(session)
    assert (issued.expires_in, issued.expires_at) == (300, session.expires_at)
    assert access.issue(session, now=NOW, idle_until=NOW + 600 * SECOND).expires_in == 600
    session.expires_at = NOW + 2000 * SECOND
    assert issue(session).expires_in == 900
    session.expires_at = NOW + timedelta(milliseconds=300)
    assert issue(session).expires_in == 0


@given(
    age=st.timedeltas(SECOND, timedelta(days=2)),
    fraction=st.floats(0, 0.999),
)
def test_a_life_is_shortened_by_the_jitter_at_most_and_never_longer(session, age, fraction):
    now = NOW + fraction * SECOND
    with override_settings(SESSIONS_PLUS_JWT_ACCESS_AGE=age):
        issued = issue(session, now)
    claims = parts(issued.token)[1]
    life = claims["exp"] - claims["iat"]
    assert issued.expires_in == life
    assert max(1, int(age.total_seconds() * (1 - access.JITTER)) - 1) <= life <= age.total_seconds()
    assert issued.expires_at <= now + age


def test_the_ends_of_many_tokens_are_spread_over_the_jitter(session):
    with override_settings(SESSIONS_PLUS_JWT_ACCESS_AGE=timedelta(minutes=100)):
        lives = [issue(session).expires_in for _ in range(300)]
    assert min(lives) >= 5700
    assert max(lives) <= 6000
    # Of three hundred even draws all fall outside of a twentieth once in five million times.
    assert min(lives) < 5715
    assert max(lives) > 5985


def test_the_user_is_taken_from_the_session_unless_given(session, user):
    given_user = User(pk=user.pk, email="new@example.com")
    assert parts(issue(session).token)[1]["email"] == "ada@example.com"
    token = access.issue(session, user=given_user, now=NOW).token
    assert parts(token)[1]["email"] == "new@example.com"


def test_no_token_is_issued_for_somebody_else_or_nobody(session):
    with pytest.raises(ValueError, match="signed in"):
        access.issue(session, user=User(pk=8), now=NOW)
    with pytest.raises(ValueError, match="signed in"):
        access.issue(session, user=User(), now=NOW)
    anonymous = Session(expires_at=NOW + SECOND)
    with pytest.raises(ValueError, match="signed in"):
        access.issue(anonymous, now=NOW)
    with pytest.raises(ValueError, match="signed in"):
        access.issue(anonymous, user=User(), now=NOW)


def test_where_nobody_authenticated_no_time_of_it_is_told(session):
    session.authenticated_at, session.created_at = None, NOW
    token = issue(session).token
    assert "auth_time" not in parts(token)[1]
    assert access.verify(token, now=NOW).auth_time is None


AUTH_HASH = "0123456789abcdef" * 4


def test_a_token_is_of_the_password_it_was_issued_under(session):
    data = {"_auth_user_hash": AUTH_HASH}
    session.session_data = json.dumps(data)
    claims = access.verify(issue(session).token, now=NOW)
    assert not access.is_superseded(claims, session, data)
    for other in ({"_auth_user_hash": AUTH_HASH[::-1]}, {"_auth_user_hash": None}, {}):
        assert access.is_superseded(claims, session, other)
    about_to_be = access.issue(session, auth_hash=AUTH_HASH[::-1], now=NOW)
    claims = access.verify(about_to_be.token, now=NOW)
    assert not access.is_superseded(claims, session, {"_auth_user_hash": AUTH_HASH[::-1]})
    assert AUTH_HASH not in str(parts(issue(session).token))


def test_a_token_from_before_any_authentication_is_of_no_use_after_one(session):
    moment, session.authenticated_at = session.authenticated_at, None
    session.created_at = NOW
    claims = access.verify(issue(session).token, now=NOW)
    assert not access.is_superseded(claims, session, {})
    session.authenticated_at = moment
    assert access.is_superseded(claims, session, {})


@pytest.mark.parametrize(
    "change",
    [
        {"ended_at": NOW - SECOND},
        {"expires_at": NOW},
        {"authenticated_at": NOW - timedelta(days=30)},
    ],
)
def test_no_token_is_issued_for_a_session_that_is_over(session, change):
    for name, value in change.items():
        setattr(session, name, value)
    with pytest.raises(StaleSessionError):
        issue(session)


@pytest.mark.django_db
def test_no_token_is_issued_for_a_user_who_is_gone():
    row = Session(user_id=999, authenticated_at=NOW, expires_at=NOW + timedelta(days=1))
    with pytest.raises(StaleSessionError):
        issue(row)


@pytest.mark.django_db
def test_issuing_reads_the_user_once_and_verifying_reads_nothing(
    alice, statements, django_assert_num_queries
):
    row = Session(user_id=alice.pk, authenticated_at=NOW, expires_at=NOW + timedelta(days=1))
    with django_assert_num_queries(1):
        token = issue(row).token
    with django_assert_num_queries(0):
        access.issue(row, user=alice, now=NOW)
        access.verify(token, now=NOW)


def test_without_time_zones_moments_are_as_the_models_have_them(user, settings):
    settings.USE_TZ = False
    moment = timezone.now()
    assert timezone.is_naive(moment)
    row = Session(
        user=user,
        authenticated_at=moment - timedelta(hours=1),
        expires_at=moment + timedelta(days=1),
    )
    issued = access.issue(row)
    claims = access.verify(issued.token)
    assert claims.expires_at == issued.expires_at
    assert timezone.is_naive(issued.expires_at)
    assert timedelta(minutes=14) < issued.expires_at - moment <= timedelta(minutes=15)
    assert claims.auth_time == row.authenticated_at.replace(microsecond=0)
    assert abs(parts(issued.token)[1]["iat"] - datetime.now(UTC).timestamp()) < 60


# Time


@exact
@pytest.mark.parametrize(
    ("seconds", "verdict"),
    [
        (-61, TokenError),
        (-60, None),
        (0, None),
        (899, None),
        (900, None),
        (959.9, None),
        (960, TokenExpiredError),
        (10**6, TokenExpiredError),
    ],
)
def test_clocks_may_differ_by_the_leeway_and_no_more(session, seconds, verdict):
    token = issue(session).token
    then = NOW + timedelta(seconds=seconds)
    if verdict is None:
        access.verify(token, now=then)
    else:
        with pytest.raises(TokenError) as caught:
            access.verify(token, now=then)
        assert type(caught.value) is verdict


@exact
@override_settings(SESSIONS_PLUS_JWT_LEEWAY=timedelta(0))
def test_without_leeway_a_token_is_valid_from_its_first_second_to_its_last(session):
    token = issue(session).token
    for outside, error in ((NOW - SECOND, TokenError), (NOW + 900 * SECOND, TokenExpiredError)):
        with pytest.raises(error):
            access.verify(token, now=outside)
    access.verify(token, now=NOW)
    access.verify(token, now=NOW + 899 * SECOND)


@pytest.mark.parametrize("name", ["nbf", "iat"])
def test_either_start_can_lie_in_the_future(session, name):
    header, claims, _ = parts(issue(session).token)
    claims[name] = EPOCH + 60
    access.verify(signed(header, claims), now=NOW)
    claims[name] = EPOCH + 61
    with pytest.raises(TokenError) as caught:
        access.verify(signed(header, claims), now=NOW)
    assert type(caught.value) is TokenError


# What is told


def test_an_error_has_a_code_and_nothing_of_the_token(session):
    token = issue(session).token
    for presented, now, error, code in (
        (token, NOW + timedelta(days=1), TokenExpiredError, "token_expired"),
        (token[:-1], NOW, TokenError, "invalid_token"),
    ):
        with pytest.raises(TokenError) as caught:
            access.verify(presented, now=now)
        exc = caught.value
        assert type(exc) is error
        assert isinstance(exc, SessionsPlusError)
        assert (exc.code, str(exc)) == (code, code)
        assert exc.__cause__ is exc.__context__ is None
        assert len(exc.args) == 1


def reported(exc):
    """Return the variables of the package's own frames, and of its decorators, as error reports show them."""
    shown = {}
    traceback = exc.__traceback__.tb_next
    while traceback is not None:
        frame = traceback.tb_frame
        variables = SafeExceptionReporterFilter().get_traceback_frame_variables(None, frame)
        shown[frame.f_code.co_name] = dict(variables)
        traceback = traceback.tb_next
    return shown


@pytest.mark.parametrize("spoil", ["{}", "x{}", "{}é", "{}=", "a.{}", "{}" * 20])
def test_error_reports_do_not_show_the_token(session, spoil):
    token = spoil.replace("{}", issue(session).token)
    with pytest.raises(TokenError) as caught:
        access.verify(token, now=NOW + timedelta(days=1))
    shown = reported(caught.value)
    # Where it was taken apart is no part of the traceback at all.
    assert shown.keys() == {"sensitive_variables_wrapper", "verify"}
    assert "token" in shown["verify"]
    assert all(part not in repr(shown) for part in token.split(".") if len(part) > 1)


@override_settings(
    SESSIONS_PLUS_JWT_KEYS=[{"secret": "tell nobody", "password": "not this either"}]
)
def test_error_reports_of_a_wrong_key_show_neither_it_nor_the_token(session):
    with pytest.raises(ConfigurationError) as caught:
        access.verify("a token", now=NOW)
    shown = repr(reported(caught.value))
    assert "a token" not in shown
    assert "tell nobody" not in shown + str(caught.value)
    assert "not this either" not in shown + str(caught.value)


def test_reprs_show_neither_the_token_nor_what_it_tells(session):
    issued = issue(session)
    claims = access.verify(issued.token, now=NOW)
    assert issued.token not in repr(issued) + str(issued)
    assert "expires_in=" in repr(issued)
    assert "ada@example.com" not in repr(claims) + str(claims)
    assert str(session.pk) in repr(claims)


def test_what_was_verified_cannot_be_changed(session):
    claims = access.verify(issue(session).token, now=NOW)
    with pytest.raises(AttributeError):
        claims.session_id = UUID(int=1)
    with pytest.raises(AttributeError):
        issue(session).token = "other"
