"""Refresh tokens as texts and as decisions: nothing here touches a database."""

from __future__ import annotations

import re
import uuid
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256

import jwt
import pytest
from django.test import override_settings
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from django_sessions_plus import tokens
from django_sessions_plus.jwt import refresh_token
from django_sessions_plus.jwt.refresh_token import RefreshToken, parse
from django_sessions_plus.jwt.verdicts import StoredRefresh, Tolerance, Verdict, decide

NOW = datetime(2030, 1, 1, 12, tzinfo=UTC)
GRACE = timedelta(seconds=10)
LEEWAY = timedelta(minutes=1)
RETRY_AGE = timedelta(days=1)
TICK = timedelta(microseconds=1)
BASE64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

MOMENTS = st.datetimes(
    min_value=datetime(1970, 1, 1), max_value=datetime(9999, 1, 1), timezones=st.just(UTC)
)


def a_token(moment: datetime = NOW) -> RefreshToken:
    return refresh_token.first(uuid.uuid4(), moment)


def is_refused(text: object) -> bool:
    return parse(text) is None


def parsed(text: str) -> RefreshToken:
    token = parse(text)
    assert token is not None
    return token


# The text


@given(session_id=st.uuids(), moment=MOMENTS)
def test_what_is_spelled_is_parsed_again(session_id: uuid.UUID, moment: datetime):
    token = refresh_token.first(session_id, moment)
    assert parsed(token.text()) == token
    assert parsed(token.text()).text() == token.text()
    assert token.age(moment + TICK) == TICK


def test_a_text_is_neither_a_session_token_nor_shaped_like_a_jwt():
    text = a_token().text()
    assert len(text) == refresh_token.LENGTH == 132
    assert not tokens.is_well_formed(text)
    assert re.fullmatch(r"[\w-]*\.[\w-]*\.[\w-]*", text) is None
    # A b64token of RFC 6750, and a value that a cookie takes without quotes.
    assert re.fullmatch(r"[A-Za-z0-9._-]+", text)


def test_no_two_tokens_are_alike():
    session_id = uuid.uuid4()
    texts = {refresh_token.first(session_id, NOW).text() for _ in range(100)}
    assert len(texts) == 100


def test_a_token_with_one_bit_changed_is_refused():
    text = a_token().text()
    payload = urlsafe_b64decode(text[4:])
    for position in range(len(payload) * 8):
        changed = bytearray(payload)
        changed[position // 8] ^= 1 << position % 8
        assert is_refused("rt1." + urlsafe_b64encode(changed).decode())


def test_a_token_with_one_character_changed_is_refused():
    text = a_token().text()
    for position, character in enumerate(text):
        for other in {"A", "b", "-", "_", "=", "+", "/", ".", " ", "\n", "\0", "é", "Ａ"} - {
            character
        }:
            assert is_refused(text[:position] + other + text[position + 1 :])


def test_a_token_that_is_cut_or_longer_is_refused():
    text = a_token().text()
    for length in range(len(text)):
        assert is_refused(text[:length])
    for more in ("A", "AAAA", "=", "==", "\n", " ", text):
        assert is_refused(text + more)
        assert is_refused(more + text)


def test_what_is_no_token_is_refused():
    signed = jwt.encode({"sid": "1"}, "k" * 32)
    odd = ["", "rt1.", None, 7, b"rt1." + b"A" * 128, ["rt1."], "rt1." + "A" * 128, "a" * 32]
    for value in [*odd, signed, "rt1." + "=" * 128, "\ud800" * 132, "rt1." + "é" * 128, "A" * 132]:
        assert is_refused(value)
    assert is_refused("rt1." + "A" * 10**6)
    assert is_refused("rt2." + a_token().text()[4:])
    assert is_refused(a_token().text().upper())


@given(st.text(alphabet=BASE64, min_size=128, max_size=128))
def test_an_invented_token_is_refused(payload: str):
    assert is_refused("rt1." + payload)


def test_what_is_too_long_is_not_even_decoded(monkeypatch: pytest.MonkeyPatch):
    def decode(text: str) -> bytes:
        raise AssertionError(f"decodes {len(text)} characters")

    monkeypatch.setattr(refresh_token, "urlsafe_b64decode", decode)
    for text in ("rt1." + "A" * 10**5, "rt1." + "A" * 132, "", "rt1."):
        assert is_refused(text)
    with pytest.raises(AssertionError):
        parse("rt1." + "A" * 128)


def test_the_digest_is_of_one_session_and_none_that_others_store():
    token = a_token()
    elsewhere = RefreshToken(uuid.uuid4(), token.family, token.issued_at, token.secret)
    assert elsewhere.digest() != token.digest()
    plain = {sha256(part).hexdigest() for part in (token.secret, token.text().encode())}
    assert token.digest() not in plain | {tokens.digest(token.text())}


def test_a_token_of_another_site_is_refused():
    with override_settings(SECRET_KEY="that of another site"):
        text = a_token().text()
        assert not is_refused(text)
    assert is_refused(text)


def test_tokens_outlive_a_change_of_the_secret_key_as_long_as_the_fallback_is_there():
    old = {"SECRET_KEY": "old"}
    both = {"SECRET_KEY": "new", "SECRET_KEY_FALLBACKS": ["other", "old"]}
    with override_settings(**old):
        text = a_token().text()
    with override_settings(**both):
        token = parsed(text)
        # What is spelled now is signed with the new key.
        renewed = token.successor(NOW).text()
    with override_settings(SECRET_KEY="new"):
        assert is_refused(text)
        assert parsed(renewed).session_id == token.session_id


def test_hosts_with_the_old_and_the_new_secret_key_arrive_at_the_same_successor():
    with override_settings(SECRET_KEY="old"):
        text = a_token().text()
        there = parsed(text).successor(NOW)
    with override_settings(SECRET_KEY="new", SECRET_KEY_FALLBACKS=["old"]):
        here = parsed(text).successor(NOW)
    assert here.digest() == there.digest()


def test_neither_repr_nor_digest_shows_the_secret():
    token = a_token()
    text = token.text()
    for shown in (repr(token), str(token), f"{[token]}", repr({"token": token})):
        assert token.secret.hex() not in shown
        assert repr(token.secret) not in shown
        assert text not in shown
    assert token.digest() not in repr(token)
    assert len(token.digest()) == 64


def test_the_successor_is_the_same_for_everybody_and_of_the_same_line():
    token = a_token()
    one, other = parsed(token.text()).successor(NOW), parsed(token.text()).successor(NOW)
    assert one.text() == other.text()
    assert (one.session_id, one.family) == (token.session_id, token.family)
    assert one.digest() != token.digest()
    assert one.successor(NOW).digest() not in {one.digest(), token.digest()}


def test_the_successor_follows_from_the_secret_the_session_the_line_and_the_site():
    token = a_token()
    others = [
        RefreshToken(uuid.uuid4(), token.family, token.issued_at, token.secret),
        RefreshToken(token.session_id, token.family + 1, token.issued_at, token.secret),
        RefreshToken(token.session_id, token.family, token.issued_at, bytes(32)),
    ]
    successors = {each.successor(NOW).secret for each in (token, *others)}
    with override_settings(SECRET_KEY="that of another site"):
        successors.add(token.successor(NOW).secret)
    assert len(successors) == 5
    # When it was issued is told, and has no part in it.
    later = RefreshToken(token.session_id, token.family, token.issued_at + 1, token.secret)
    assert later.successor(NOW).secret == token.successor(NOW).secret


@given(moment=MOMENTS, is_naive=st.booleans())
def test_a_moment_is_the_same_number_after_a_database_kept_it(moment: datetime, is_naive: bool):
    moment = moment.replace(tzinfo=None) if is_naive else moment
    kept = datetime.fromisoformat(moment.isoformat())
    assert refresh_token.microseconds(kept) == refresh_token.microseconds(moment)
    assert refresh_token.microseconds(moment + TICK) == refresh_token.microseconds(moment) + 1


# The decision


def family(length: int, moment: datetime = NOW) -> list[RefreshToken]:
    """Return a token and those that follow it, a minute apart."""
    found = [a_token(moment)]
    for number in range(1, length):
        found.append(found[-1].successor(moment + timedelta(minutes=number)))
    return found


def kept_of(current: RefreshToken, refreshed_at: datetime | None = None) -> StoredRefresh:
    started_at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=current.family)
    return StoredRefresh(current.digest(), started_at, refreshed_at)


@pytest.mark.parametrize(
    ("elapsed", "grace", "verdict"),
    [
        (timedelta(0), GRACE, Verdict.PRECEDING),
        (GRACE, GRACE, Verdict.PRECEDING),
        # The clock of the host that rotated is behind.
        (GRACE + LEEWAY, GRACE, Verdict.PRECEDING),
        (GRACE + LEEWAY + TICK, GRACE, Verdict.REUSED),
        (timedelta(days=1), GRACE, Verdict.REUSED),
        # Strict: every second use is one too many.
        (timedelta(0), timedelta(0), Verdict.REUSED),
        (-TICK, timedelta(0), Verdict.REUSED),
        (TICK, timedelta(0), Verdict.REUSED),
        # The clock of the host that rotated is ahead.
        (-LEEWAY, GRACE, Verdict.PRECEDING),
        (-LEEWAY - TICK, GRACE, Verdict.REUSED),
        (-timedelta(minutes=2), timedelta(minutes=2), Verdict.REUSED),
    ],
)
def test_the_token_before_the_current_one_is_good_for_the_grace(elapsed, grace, verdict):
    first, second = family(2)
    rotated_at = NOW + timedelta(minutes=1)
    found = decide(
        first,
        kept_of(second, rotated_at),
        now=rotated_at + elapsed,
        tolerance=Tolerance(grace, leeway=LEEWAY),
    )
    assert found is verdict


@pytest.mark.parametrize(
    ("elapsed", "verdict"),
    [
        (RETRY_AGE + LEEWAY, Verdict.RETRIED),
        (RETRY_AGE + LEEWAY + TICK, Verdict.REUSED),
        (-LEEWAY, Verdict.RETRIED),
        (-LEEWAY - TICK, Verdict.REUSED),
    ],
)
def test_a_retry_of_an_attempt_is_good_with_clocks_that_differ_as_much(elapsed, verdict):
    first, second = family(2)
    presented = first.with_attempt("0123456789abcdef" * 2)
    assert presented.attempt is not None
    rotated_at = NOW + timedelta(minutes=1)
    kept = replace(
        kept_of(second, rotated_at), attempt=presented.attempt.of_rotation, replays_left=1
    )
    tolerance = Tolerance(timedelta(0), RETRY_AGE, LEEWAY)
    assert decide(presented, kept, now=rotated_at + elapsed, tolerance=tolerance) is verdict


def test_the_current_token_is_good_whatever_the_clock_says():
    first, second = family(2)
    for token, rotated_at in ((first, None), (second, NOW), (second, NOW + timedelta(days=9))):
        for now in (NOW - timedelta(days=900), NOW, NOW + timedelta(days=900)):
            for grace in (timedelta(0), GRACE):
                kept = kept_of(token, rotated_at)
                assert decide(token, kept, now=now, tolerance=Tolerance(grace)) is Verdict.CURRENT


def test_an_earlier_one_of_the_line_is_a_copy_even_within_the_grace():
    first, second, third = family(3)
    kept = kept_of(third, NOW)
    assert decide(first, kept, now=NOW, tolerance=Tolerance(GRACE)) is Verdict.REUSED
    assert decide(second, kept, now=NOW, tolerance=Tolerance(GRACE)) is Verdict.PRECEDING


def test_a_token_of_another_line_is_replaced_and_no_copy():
    first, second = family(2)
    later = RefreshToken(first.session_id, first.family + 1, first.issued_at, bytes(32))
    for kept in (kept_of(later), kept_of(later, NOW), StoredRefresh(None, None, None)):
        for token in (first, second):
            assert decide(token, kept, now=NOW, tolerance=Tolerance(GRACE)) is Verdict.REPLACED


@pytest.mark.parametrize(("left", "is_over"), [(TICK, False), (timedelta(0), True), (-TICK, True)])
def test_a_family_is_good_until_its_deadline(left, is_over):
    first, second, third = family(3)
    kept = replace(kept_of(third, NOW), limited_until=NOW + left)
    found = [decide(each, kept, now=NOW, tolerance=Tolerance(GRACE)) for each in (third, second)]
    good = [Verdict.CURRENT, Verdict.PRECEDING]
    assert found == ([Verdict.EXPIRED] * 2 if is_over else good)
    # Whoever copied one gives it away by that, and of another family nothing more has to be said.
    assert decide(first, kept, now=NOW, tolerance=Tolerance(GRACE)) is Verdict.REUSED
    other = RefreshToken(first.session_id, first.family + 1, first.issued_at, bytes(32))
    assert decide(other, kept, now=NOW, tolerance=Tolerance(GRACE)) is Verdict.REPLACED


def test_a_line_that_lost_its_times_is_replaced():
    token = a_token()
    assert (
        decide(token, StoredRefresh(None, NOW, NOW), now=NOW, tolerance=Tolerance(GRACE))
        is Verdict.REPLACED
    )
    assert (
        decide(
            token, StoredRefresh(token.digest(), None, None), now=NOW, tolerance=Tolerance(GRACE)
        )
        is Verdict.REPLACED
    )


def test_a_secret_that_is_not_of_this_line_s_current_token_is_a_copy():
    """Nobody can make one without SECRET_KEY: the MAC would be wrong."""
    first, second = family(2)
    guessed = RefreshToken(first.session_id, first.family, first.issued_at, bytes(32))
    assert (
        decide(guessed, kept_of(second, NOW), now=NOW, tolerance=Tolerance(GRACE)) is Verdict.REUSED
    )


class Rotation(RuleBasedStateMachine):
    """A session, and clients that present any of the tokens it ever gave, at any time and again."""

    def __init__(self) -> None:
        super().__init__()
        self.now = NOW
        self.families: list[list[tuple[RefreshToken, datetime | None]]] = []
        self.is_over = False

    @initialize()
    def start(self) -> None:
        self.session_id = uuid.uuid4()
        self.begin_a_line()

    @precondition(lambda self: not self.is_over)
    @rule()
    def begin_a_line(self) -> None:
        self.now += TICK
        token = refresh_token.first(self.session_id, self.now)
        self.kept = StoredRefresh(token.digest(), self.now, None)
        self.families.append([(token, None)])

    @rule(seconds=st.sampled_from([0, 0, 1, 9, 10, 11, 900]))
    def wait(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)

    @precondition(lambda self: not self.is_over)
    @rule(data=st.data())
    def present(self, data: st.DataObject) -> None:
        number = data.draw(st.integers(0, len(self.families) - 1))
        position = data.draw(st.integers(0, len(self.families[number]) - 1))
        token = parsed(self.families[number][position][0].text())
        verdict = decide(token, self.kept, now=self.now, tolerance=Tolerance(GRACE))
        assert verdict is self.expected(number, position)
        if verdict is Verdict.CURRENT:
            successor = token.successor(self.now)
            assert self.kept.started_at is not None
            self.kept = StoredRefresh(successor.digest(), self.kept.started_at, self.now)
            self.families[-1].append((successor, self.now))
        elif verdict is Verdict.PRECEDING:
            assert self.kept.refreshed_at is not None
            text = token.successor(self.kept.refreshed_at).text()
            assert text == self.families[-1][-1][0].text()
        self.is_over = verdict is Verdict.REUSED

    def expected(self, number: int, position: int) -> Verdict:
        if number != len(self.families) - 1:
            return Verdict.REPLACED
        present = self.families[number]
        if position == len(present) - 1:
            return Verdict.CURRENT
        rotated_at = present[-1][1]
        is_recent = rotated_at is not None and self.now - rotated_at <= GRACE
        is_preceding = is_recent and position == len(present) - 2
        return Verdict.PRECEDING if is_preceding else Verdict.REUSED

    @invariant()
    def one_token_is_good(self) -> None:
        every = [token for each in self.families for token, _ in each]
        verdicts = [
            decide(token, self.kept, now=self.now, tolerance=Tolerance(GRACE)) for token in every
        ]
        assert verdicts.count(Verdict.CURRENT) == 1
        assert verdicts.count(Verdict.PRECEDING) <= 1


TestRotation = Rotation.TestCase
TestRotation.settings = settings(stateful_step_count=20)
