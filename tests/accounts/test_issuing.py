"""Sessions that are started for somebody, and the command that prints their token."""

import json
import logging
from datetime import UTC, datetime, timedelta
from io import StringIO

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.test import Client, override_settings
from django.utils import timezone

from django_sessions_plus import sessions, tokens
from django_sessions_plus.accounts import issuing
from django_sessions_plus.exceptions import ConfigurationError, SignInRefusedError
from django_sessions_plus.jwt import access
from django_sessions_plus.jwt.refresh import refresh
from django_sessions_plus.models import Session
from django_sessions_plus.signals import session_started
from tests.backends.drivers import SessionStore
from tests.mailing import sent_by

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls("tests.site")]


@pytest.fixture(params=["sync", "async"])
def start(request):
    """The verb, in either mode."""
    return sessions.start if request.param == "sync" else async_to_sync(sessions.astart)


def who(token):
    client = Client()
    client.cookies["sessionid"] = token
    return client.get("/who").content.decode()


# The verb


def test_a_started_session_is_signed_in_as_by_a_sign_in(start, alice, told, clock):
    store = start(alice, user_agent="nightly export", ip_address="192.0.2.7")
    row = Session.objects.get()
    assert (row.user_id, row.user_agent, row.ip_address) == (
        alice.pk,
        "nightly export",
        "192.0.2.7",
    )
    assert row.authenticated_at is None
    assert row.expires_at == clock.now() + timedelta(days=14)
    assert [said["user"] for said in told.of(session_started)] == [alice]
    assert who(store.session_key) == "alice"
    assert not store.modified


def test_it_costs_one_look_at_the_user_and_one_insert(alice, statements):
    with statements() as executed:
        sessions.start(alice)
    assert [sql.partition(" ")[0] for sql in executed] == ["SELECT", "INSERT"]


def test_nobody_has_signed_in(start, alice):
    start(alice)
    alice.refresh_from_db()
    assert alice.last_login is None


def test_it_is_not_fresh_before_the_person_authenticates_in_it(start, alice):
    store = start(alice)
    for session in (store, SessionStore(store.session_key)):
        session.load_if_needed()
        assert not session.is_fresh()
    assert not Session.objects.get().is_fresh()
    store.mark_authenticated(alice)
    store.save()
    row = Session.objects.get()
    assert row.is_fresh()
    assert row.authenticated_at is not None


def test_the_absolute_timeout_counts_from_its_start(start, alice, clock, settings):
    settings.SESSIONS_PLUS_ABSOLUTE_AGE = timedelta(days=20)
    token = start(alice).session_key
    ends_at = clock.now() + timedelta(days=20)
    for _ in range(19):
        clock.advance(days=1)
        assert who(token) == "alice"
    row = Session.objects.get()
    assert (row.expires_at, row.authenticated_at) == (ends_at, None)
    settings.SESSIONS_PLUS_ABSOLUTE_AGE = timedelta(days=19)
    assert who(token) == ""
    assert not Session.objects.active().exists()
    settings.SESSIONS_PLUS_ABSOLUTE_AGE = None
    assert who(token) == "alice"


def test_its_access_tokens_say_of_no_authentication(start, alice):
    store = start(alice)
    pair = sessions.issue_tokens(store.row)
    again = refresh(pair.refresh)
    for token in (pair.access, again.access):
        claims = access.verify(token)
        assert "auth_time" not in claims.all
        assert claims.auth_time is None
    store.mark_authenticated(alice)
    store.save()
    claims = access.verify(sessions.issue_tokens(store.row).access)
    assert claims.auth_time is not None


@pytest.mark.parametrize("transport", ["bearer", "jwt"])
@pytest.mark.urls("tests.api.urls")
def test_sensitive_acts_wait_until_somebody_authenticates(alice, transport):
    alice.set_password("wonderland")
    alice.save()
    issued = issuing.issue(alice, transport=transport)

    def send(method, path, token, **data):
        headers = {"Authorization": f"Bearer {token}"}
        return getattr(Client(), method)(
            path, data or None, content_type="application/json", headers=headers
        )

    token = issued.tokens["token" if transport == "bearer" else "access"]
    assert send("get", "/auth/session", token).json()["session"]["authenticated_at"] is None
    assert send("get", "/sensitive", token).json()["code"] == "reauthentication_required"
    if transport == "jwt":
        token = refresh(issued.tokens["refresh"]).access
        assert send("get", "/sensitive", token).json()["code"] == "reauthentication_required"
    answer = send("post", "/auth/reauthenticate", token, password="wonderland").json()
    again = answer["token" if transport == "bearer" else "access"]
    assert send("get", "/sensitive", again).status_code == 200
    # What was issued has no part in it.
    assert send("get", "/sensitive", token).status_code == 401


def test_what_is_not_said_is_not_recorded(start, alice):
    start(alice)
    row = Session.objects.get()
    assert (row.user_agent, row.ip_address) == (None, None)


def test_recording_keeps_to_the_settings(start, alice, settings):
    settings.SESSIONS_PLUS_RECORD_USER_AGENT = "off"
    settings.SESSIONS_PLUS_RECORD_IP = "truncated"
    start(alice, user_agent="nightly export", ip_address="192.0.2.7")
    row = Session.objects.get()
    assert (row.user_agent, row.ip_address) == (None, "192.0.2.0")


def test_it_counts_toward_the_limit(start, alice, settings):
    settings.SESSIONS_PLUS_MAX_PER_USER = 2
    tokens = [start(alice).session_key for _ in range(3)]
    assert [who(token) for token in tokens] == ["", "alice", "alice"]


def test_it_ends_with_a_changed_password(start, alice):
    token = start(alice).session_key
    alice.set_password("another")
    alice.save()
    assert who(token) == ""


def test_it_is_not_remembered_unless_that_is_wanted(start, alice, clock):
    start(alice, remember=False)
    row = Session.objects.get()
    assert (row.remember, row.expires_at) == (False, clock.now() + timedelta(days=1))


def test_with_an_expiry_it_ends_then_used_or_not(start, alice, clock):
    token = start(alice, expiry=timedelta(days=2)).session_key
    ends_at = clock.now() + timedelta(days=2)
    clock.advance(hours=47)
    assert who(token) == "alice"
    assert Session.objects.get().expires_at == ends_at
    clock.advance(hours=1)
    assert who(token) == ""


def test_an_expiry_beyond_the_absolute_limit_is_refused_not_shortened(start, alice, settings):
    with pytest.raises(ValueError, match="SESSIONS_PLUS_ABSOLUTE_AGE"):
        start(alice, expiry=timedelta(days=30, seconds=1))
    assert not Session.objects.exists()
    start(alice, expiry=timedelta(days=30))
    settings.SESSIONS_PLUS_ABSOLUTE_AGE = None
    start(alice, expiry=timedelta(days=300))


@pytest.mark.parametrize(
    "expiry", [timedelta(days=36_501), timedelta(days=4_000_000), timedelta.max]
)
def test_an_expiry_beyond_what_calendars_hold_is_refused(start, alice, settings, expiry):
    settings.SESSIONS_PLUS_ABSOLUTE_AGE = None
    with pytest.raises(ValueError, match="36500 days"):
        start(alice, expiry=expiry)
    assert not Session.objects.exists()
    start(alice, expiry=timedelta(days=36_500))


@pytest.mark.parametrize("expiry", [timedelta(0), timedelta(seconds=-1)])
def test_an_expiry_in_the_past_is_refused(start, alice, expiry):
    with pytest.raises(ValueError, match="above zero"):
        start(alice, expiry=expiry)
    assert not Session.objects.exists()


def test_an_inactive_user_is_refused(start, alice):
    alice.is_active = False
    alice.save()
    with pytest.raises(SignInRefusedError):
        start(alice)
    assert not Session.objects.exists()


def test_inactive_is_refused_even_where_a_backend_would_let_them_in(start, alice, settings):
    settings.AUTHENTICATION_BACKENDS = ["django.contrib.auth.backends.AllowAllUsersModelBackend"]
    alice.is_active = False
    alice.save()
    with pytest.raises(SignInRefusedError):
        start(alice)


@pytest.mark.parametrize("saved", [True, False], ids=["deleted", "never saved"])
def test_a_user_who_is_not_there_is_refused(start, alice, saved):
    user = alice if saved else User(username="nobody")
    User.objects.filter(pk=alice.pk).delete()
    with pytest.raises(SignInRefusedError):
        start(user)
    assert not Session.objects.exists()


class KnowsNobody:
    """A backend that signs people in and forgets them, or that only checks permissions."""

    def get_user(self, user_id):
        return None


class HasNoPeople:
    pass


def test_the_backend_is_the_first_that_will_know_the_user_again(start, alice, settings):
    settings.AUTHENTICATION_BACKENDS = [
        f"{__name__}.HasNoPeople",
        f"{__name__}.KnowsNobody",
        "django.contrib.auth.backends.ModelBackend",
    ]
    token = start(alice).session_key
    assert SessionStore(token)["_auth_user_backend"] == settings.AUTHENTICATION_BACKENDS[2]
    assert who(token) == "alice"
    settings.AUTHENTICATION_BACKENDS = settings.AUTHENTICATION_BACKENDS[:2]
    with pytest.raises(SignInRefusedError):
        start(alice)


def test_it_needs_an_engine_of_this_package(start, alice, settings):
    settings.SESSION_ENGINE = "django.contrib.sessions.backends.signed_cookies"
    with pytest.raises(ConfigurationError):
        start(alice)


def test_the_running_request_keeps_its_own_session(alice, bob):
    client = Client()
    client.force_login(bob)
    mine = SessionStore(client.cookies["sessionid"].value)
    running = sessions.set_current(mine)
    try:
        sessions.start(alice)
        assert sessions.current() is mine
    finally:
        sessions.reset_current(running)


# The command


def run(*args, **options):
    out, err = StringIO(), StringIO()
    call_command("issue_token", *args, stdout=out, stderr=err, **options)
    return out.getvalue(), err.getvalue()


def test_the_token_alone_is_on_standard_output(alice):
    out, err = run("alice")
    assert who(out.strip()) == "alice"
    assert out == f"{out.strip()}\n"
    assert out.strip() not in err
    assert str(Session.objects.get().pk) in err
    assert "good until" in err


def test_a_quiet_command_prints_nothing_but_the_token(alice):
    out, err = run("alice", verbosity=0)
    assert (len(out.strip()), err) == (32, "")


def test_the_pair_of_a_jwt_is_printed_on_a_line_each(alice):
    out, _ = run("alice", "--transport", "jwt")
    pair = dict(line.split("=", 1) for line in out.splitlines())
    assert list(pair) == ["access", "refresh"]
    assert access.verify(pair["access"]).session_id == Session.objects.get().pk
    assert refresh(pair["refresh"]).refresh != pair["refresh"]


def test_as_json_a_token_comes_with_its_session(alice, clock):
    out, _ = run("alice", "--format", "json", "--expires", "12h")
    told = json.loads(out)
    assert told.keys() == {"session", "token"}
    assert told["session"] == {
        "id": str(Session.objects.get().pk),
        "expires_at": "2030-01-02T00:00:00Z",
    }
    assert who(told["token"]) == "alice"


def test_as_json_a_pair_comes_with_its_times(alice, clock, monkeypatch):
    monkeypatch.setattr(access, "JITTER", 0)
    told = json.loads(run("alice", "--format", "json", "--transport", "jwt")[0])
    assert told.keys() == {"session", "access", "refresh", "expires_in", "refresh_expires_at"}
    assert told["expires_in"] == 900
    assert told["refresh_expires_at"] == "2030-01-15T12:00:00Z" == told["session"]["expires_at"]


def test_times_are_utc_also_without_time_zones(alice, settings, monkeypatch):
    settings.USE_TZ, settings.TIME_ZONE = False, "Asia/Tokyo"
    monkeypatch.setattr(timezone, "now", lambda: datetime(2030, 1, 1, 12))
    told = json.loads(run("alice", "--format", "json", "--expires", "1h")[0])
    assert told["session"]["expires_at"] == "2030-01-01T04:00:00Z"


def test_its_name_is_a_column_of_its_own_that_use_does_not_change(alice, clock):
    token = run("alice", "--name", "nightly export")[0].strip()
    row = Session.objects.get()
    assert (row.name, row.user_agent) == ("nightly export", None)
    clock.advance(hours=2)
    client = Client(headers={"user-agent": "curl/8.14.1"})
    client.cookies["sessionid"] = token
    assert client.get("/who").content == b"alice"
    row.refresh_from_db()
    assert (row.name, row.user_agent) == ("nightly export", "curl/8.14.1")


def test_a_name_is_one_line_that_terminals_can_show(alice):
    run("alice", "--name", " nightly\n\x1b[2Jexport ")
    assert Session.objects.get().name == "nightly [2Jexport"
    with pytest.raises(CommandError, match="at most 100 characters"):
        run("alice", "--name", "x" * 101)


def test_another_person_who_signs_in_there_does_not_inherit_it(alice, bob):
    store = sessions.start(alice, name="nightly export")
    store = SessionStore(store.session_key)
    store.update({"_auth_user_id": str(bob.pk)})
    store.save()
    assert (Session.objects.get().user_id, Session.objects.get().name) == (bob.pk, "")


def test_standard_output_is_the_token_alone_whoever_else_writes_there(alice, settings, capsys):
    """As the console's e-mail backend does, which most projects develop with."""
    alice.email = "alice@example.com"
    alice.save()
    settings.SESSIONS_PLUS_NEW_DEVICE_EMAIL = True
    sessions.start(alice, user_agent="curl/8.14.1", ip_address="192.0.2.7")
    with override_settings(**sent_by("django.core.mail.backends.console.EmailBackend")):
        call_command("issue_token", "alice", name="export", verbosity=0)
    out, err = capsys.readouterr()
    assert tokens.is_well_formed(out.strip())
    assert "A token was issued for your account" in err


@pytest.mark.parametrize(
    ("text", "lasts"),
    [
        ("90s", timedelta(seconds=90)),
        ("30m", timedelta(minutes=30)),
        ("12h", timedelta(hours=12)),
        ("3d", timedelta(days=3)),
        ("2w", timedelta(weeks=2)),
    ],
)
def test_durations_are_a_number_and_a_unit(alice, clock, text, lasts):
    run("alice", "--expires", text)
    assert Session.objects.get().expires_at == clock.now() + lasts


@pytest.mark.parametrize(
    "text", ["", "30", "d", "1.5h", "-1d", "1y", "1d12h", "٣d", "99999999999d", "999999999w"]
)
def test_what_is_no_duration_is_refused(alice, text):
    with pytest.raises(CommandError):
        run("alice", f"--expires={text}")
    assert not Session.objects.exists()


@pytest.mark.parametrize(("text", "words"), [("31d", "ABSOLUTE_AGE"), ("0s", "above zero")])
def test_a_duration_out_of_bounds_is_refused(alice, text, words):
    with pytest.raises(CommandError, match=words):
        run("alice", "--expires", text)
    assert not Session.objects.exists()


def test_a_duration_no_calendar_holds_is_refused_in_words(alice, settings):
    settings.SESSIONS_PLUS_ABSOLUTE_AGE = None
    with pytest.raises(CommandError, match="36500 days"):
        run("alice", "--expires", "4000000d")
    assert not Session.objects.exists()


def test_unknown_and_inactive_users_are_refused_in_words(alice):
    with pytest.raises(CommandError, match="There is no user 'nobody'"):
        run("nobody")
    User.objects.update(is_active=False)
    with pytest.raises(CommandError, match="'alice': The user is inactive"):
        run("alice")
    assert not Session.objects.exists()


def test_an_engine_of_somebody_else_is_refused_in_words(alice, settings):
    settings.SESSION_ENGINE = "django.contrib.sessions.backends.signed_cookies"
    with pytest.raises(CommandError, match="SESSION_ENGINE"):
        run("alice")


def test_keys_that_cannot_sign_leave_no_session_behind(alice, settings):
    settings.SESSIONS_PLUS_JWT_ALGORITHM = "RS256"
    with pytest.raises(CommandError, match="JWT_KEYS"):
        run("alice", "--transport", "jwt")
    assert not Session.objects.active().exists()


@pytest.mark.parametrize("transport", issuing.TRANSPORTS)
def test_the_log_tells_whose_session_it_is_and_no_token(alice, caplog, transport):
    caplog.set_level(logging.DEBUG)
    out, _ = run("alice", "--transport", transport)
    (record,) = (r for r in caplog.records if getattr(r, "event", "") == "token_issued")
    said = vars(record)
    assert said["session_id"] == str(Session.objects.get().pk)
    assert (said["user_id"], said["actor_id"]) == (str(alice.pk), None)
    assert said["transport"] == transport
    for line in out.splitlines():
        assert line.rpartition("=")[2] not in str(said) + caplog.text


def test_what_was_issued_does_not_show_in_its_repr(alice, bob):
    for transport in issuing.TRANSPORTS:
        issued = issuing.issue(alice, transport=transport, actor=bob)
        for token in issued.tokens.values():
            assert token not in repr(issued)


def test_times_given_are_in_the_future_of_the_real_clock(alice):
    told = json.loads(run("alice", "--format", "json")[0])
    ends_at = datetime.fromisoformat(told["session"]["expires_at"])
    assert ends_at - datetime.now(UTC) > timedelta(days=13)
