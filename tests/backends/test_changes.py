"""What a write carries, decided without a store, a request or a database."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth import HASH_SESSION_KEY, SESSION_KEY
from django.contrib.auth.models import User
from django.utils import timezone

from django_sessions_plus.backends import changes, context
from django_sessions_plus.backends.use import NO_META, Meta
from django_sessions_plus.conf.kinds import Transport
from django_sessions_plus.models import Session

NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)
DAY = timedelta(days=1)
AGE = 14 * DAY
HERE = {"REMOTE_ADDR": "192.0.2.1", "HTTP_USER_AGENT": "curl/8"}
ELSEWHERE = {"REMOTE_ADDR": "198.51.100.7", "HTTP_USER_AGENT": "Wget/1"}
ADA = 7


@dataclass
class Use:
    """One use of a session."""

    meta: Meta = field(default_factory=lambda: NO_META)
    transport: Transport = "cookie"
    counts_as_activity: bool = True
    can_set_cookie: bool = False
    is_cookie_due: bool = False
    is_token_outdated: bool = False
    is_new: bool = False
    is_authenticated_now: bool = False
    is_authenticated_at_start: bool = True
    access_issued_at: int | None = None
    pending_remember: bool | None = None
    remember: bool = True
    name: str = ""
    user: Any = None
    idle: timedelta = AGE

    def get_session_cookie_age(self) -> int:
        return int(self.idle.total_seconds())

    def decode(self, session_data: str) -> dict[str, Any]:
        data: dict[str, Any] = json.loads(session_data or "{}")
        return data


def text_of(data: dict[str, Any]) -> str:
    return json.dumps(data, separators=(",", ":"))


def row_of(data: dict[str, Any], *, used: datetime = NOW, **columns: Any) -> Session:
    """Return the row of a session that was last used, and moved, at ``used``."""
    signed_in = SESSION_KEY in data
    known: dict[str, Any] = {
        "session_data": text_of(data),
        "user_id": ADA if signed_in else None,
        "authenticated_at": used if signed_in else None,
        "created_at": used,
        "updated_at": used,
        "last_seen_at": used,
        "expires_at": used + AGE,
    }
    return Session(**known | columns)


def saved(row: Session, data: dict[str, Any], use: Use, **extra: Any) -> dict[str, Any]:
    return changes.saved_columns(row, data, use, NOW, text=text_of(data), extra=extra)


SIGNED_IN = {SESSION_KEY: str(ADA), HASH_SESSION_KEY: "one"}
VISIT: dict[str, Any] = {"basket": 1}


def test_a_save_carries_what_has_changed_and_nothing_else():
    assert saved(row_of(VISIT), VISIT | {"basket": 2}, Use()) == {
        "session_data": '{"basket":2}',
        "version": 1,
    }
    assert saved(row_of(VISIT), VISIT, Use(pending_remember=False)) == {"remember": False}
    assert saved(row_of(VISIT), VISIT, Use(), name="x") == {"name": "x"}


def test_a_save_that_changes_nothing_still_has_a_statement_that_can_find_the_session_ended():
    assert saved(row_of(VISIT, used=NOW - timedelta(seconds=1)), VISIT, Use()) == {
        "last_seen_at": NOW
    }
    assert saved(row_of(VISIT), VISIT, Use(counts_as_activity=False)) == {}


def test_a_sign_in_is_a_new_authentication_of_this_transport():
    columns = saved(row_of(VISIT, used=NOW - DAY), SIGNED_IN, Use(HERE, "bearer"))
    assert columns.pop("session_data") == text_of(SIGNED_IN)
    assert columns == {
        "version": 1,
        "user_id": ADA,
        "authenticated_at": NOW,
        "transport": "bearer",
        "ip_address": "192.0.2.1",
        "user_agent": "curl/8",
        "updated_at": NOW,
        "last_seen_at": NOW,
        "expires_at": NOW + AGE,
    }


def test_who_signs_out_by_the_data_leaves_nothing_of_theirs():
    columns = saved(row_of(SIGNED_IN, name="laptop"), {}, Use())
    assert columns.items() >= {"user_id": None, "authenticated_at": None, "name": ""}.items()
    assert columns.items() >= changes.NO_REFRESH_TOKENS.items()
    assert columns.items() >= context.NO_CONTEXT_CHANGE.items()


def test_refresh_tokens_end_with_an_authentication_and_with_another_password():
    again, other = Use(is_authenticated_now=True), SIGNED_IN | {HASH_SESSION_KEY: "two"}
    assert saved(row_of(SIGNED_IN), SIGNED_IN, again).items() >= changes.NO_REFRESH_TOKENS.items()
    assert saved(row_of(SIGNED_IN), other, Use()).items() >= changes.NO_REFRESH_TOKENS.items()
    assert "refresh_digest" not in saved(row_of(SIGNED_IN), SIGNED_IN | VISIT, Use())


def test_they_stay_where_the_hash_of_the_same_password_is_renewed(settings: Any):
    settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
    settings.SECRET_KEY = "another one"
    user = User(pk=ADA, password="x")
    (before,) = user.get_session_auth_fallback_hash()
    row = row_of(SIGNED_IN | {HASH_SESSION_KEY: before})
    renewed = SIGNED_IN | {HASH_SESSION_KEY: user.get_session_auth_hash()}
    assert "refresh_digest" not in saved(row, renewed, Use(user=user))
    # Of a user nobody has read it is not known.
    assert "refresh_digest" in saved(row, renewed, Use())


@pytest.mark.parametrize(
    ("since", "names"),
    [
        (timedelta(seconds=59), []),
        (timedelta(minutes=6), ["last_seen_at"]),
        (2 * DAY, ["expires_at", "last_seen_at", "updated_at"]),
    ],
    ids=str,
)
def test_a_touch_writes_no_more_often_than_is_due(since: timedelta, names: list[str]):
    row = row_of(VISIT, used=NOW - since)
    assert sorted(changes.touched_columns(row, VISIT, Use(), NOW)) == names
    assert changes.touched_columns(row, VISIT, Use(counts_as_activity=False), NOW) == {}


def test_a_touch_from_elsewhere_is_due_at_once_and_says_where_it_was():
    row = row_of(SIGNED_IN, ip_address="192.0.2.1", user_agent="curl/8")
    assert changes.touched_columns(row, SIGNED_IN, Use(HERE), NOW) == {}
    assert changes.touched_columns(row, SIGNED_IN, Use(ELSEWHERE), NOW) == {
        "last_seen_at": NOW,
        "ip_address": "198.51.100.7",
        "user_agent": "Wget/1",
        "context_changed_at": NOW,
        "previous_ip_address": "192.0.2.1",
        "previous_user_agent": "curl/8",
    }


def test_the_first_use_of_what_a_refresh_gave_out_confirms_it():
    row = row_of(SIGNED_IN, used=NOW - timedelta(minutes=6), refreshed_at=NOW - DAY)
    for issued_at, names in ((NOW, {"confirmed_refreshed_at"}), (NOW - 2 * DAY, set())):
        use = Use(transport="jwt", access_issued_at=int(issued_at.timestamp()))
        columns = changes.touched_columns(row, SIGNED_IN, use, NOW)
        assert columns.keys() - {"last_seen_at"} == names


def test_the_record_of_the_cookie_follows_a_row_that_something_else_has_moved():
    row = row_of(VISIT, cookie_expires_at=NOW)
    use = Use(can_set_cookie=True)
    assert changes.touched_columns(row, VISIT, use, NOW)["cookie_expires_at"] == row.expires_at
    assert changes.is_cookie_outdated(row, VISIT, use)
    for other in (
        Use(can_set_cookie=True, is_token_outdated=True),
        Use(can_set_cookie=True, transport="bearer"),
        Use(can_set_cookie=True, remember=False),
        Use(),
    ):
        assert changes.touched_columns(row, VISIT, other, NOW) == {}
        assert not changes.is_cookie_outdated(row, VISIT, other)


def test_what_set_expiry_was_given_comes_before_the_idle_timeout():
    def expiry(given: Any) -> datetime:
        data = {changes.EXPIRY_KEY: given}
        return changes.next_expiry(None, data, Use(), NOW, since=None)

    assert expiry(None) == NOW + AGE
    assert expiry(60) == NOW + timedelta(minutes=1)
    assert expiry((NOW + DAY).isoformat()) == NOW + DAY
    naive = (NOW + DAY).replace(tzinfo=None)
    assert expiry(naive) == timezone.make_aware(naive)
    assert expiry(0) == NOW + AGE


def test_the_absolute_timeout_caps_it(settings: Any):
    settings.SESSIONS_PLUS_ABSOLUTE_AGE = 2 * DAY
    assert changes.next_expiry(None, {}, Use(), NOW, since=NOW - DAY) == NOW + DAY


def test_a_decision_changes_nothing_it_was_given():
    row, data = row_of(SIGNED_IN, used=NOW - DAY), SIGNED_IN | VISIT
    before, use = dict(vars(row)), Use(HERE, can_set_cookie=True, pending_remember=True)
    unused = Use(HERE, can_set_cookie=True, pending_remember=True)
    saved(row, data, use)
    changes.touched_columns(row, data, use, NOW)
    changes.new_columns(row, data, use, NOW, user_id=ADA)
    assert vars(row) == before
    assert data == SIGNED_IN | VISIT
    assert use == unused
