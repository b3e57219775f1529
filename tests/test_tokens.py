"""Tokens and ids: what they look like, and what they do not give away."""

import re
import time
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from uuid import RFC_4122

import pytest
from hypothesis import given
from hypothesis import strategies as st

from django_sessions_plus import tokens

TOKEN = "abcdefghijklmnopqrstuvwxyz012345"


def test_a_token_is_thirty_two_of_the_characters_django_uses():
    for _ in range(200):
        assert re.fullmatch(r"[a-z0-9]{32}", tokens.make_token())


def test_tokens_use_the_whole_alphabet():
    seen = set("".join(tokens.make_token() for _ in range(300)))
    assert seen == set(tokens.ALPHABET)
    assert len(tokens.ALPHABET) == len(set(tokens.ALPHABET)) == 36


def test_tokens_do_not_repeat():
    assert len({tokens.make_token() for _ in range(5000)}) == 5000


def test_what_is_made_is_well_formed():
    assert all(tokens.is_well_formed(tokens.make_token()) for _ in range(200))


@pytest.mark.parametrize(
    "value",
    [
        "",
        TOKEN[:-1],
        TOKEN + "a",
        TOKEN + "\n",
        "\n" + TOKEN[1:],
        TOKEN[:-1] + "\n",
        TOKEN[:-1] + " ",
        TOKEN[:-1] + "\0",
        TOKEN.upper(),
        TOKEN[:-1] + "-",
        # Digits and letters in other alphabets, and what folds to an ASCII letter.
        TOKEN[:-1] + "\N{ARABIC-INDIC DIGIT FIVE}",
        TOKEN[:-1] + "\N{FULLWIDTH DIGIT FIVE}",
        TOKEN[:-1] + "\N{LATIN SMALL LETTER DOTLESS I}",
        TOKEN[:-1] + "\N{KELVIN SIGN}",
        TOKEN[:-1] + "\N{LATIN SMALL LETTER LONG S}",
        TOKEN[:-1] + "\ud800",
        "a" * 100_000,
        TOKEN.encode(),
        bytearray(TOKEN.encode()),
        list(TOKEN),
        12345678901234567890123456789012,
        None,
        True,
        object(),
    ],
)
def test_anything_else_is_not_well_formed(value):
    assert tokens.is_well_formed(value) is False


@given(st.text("abz019AZ-_ \n\0\u0660\uff15\u212a", min_size=30, max_size=34))
def test_well_formed_is_exactly_the_form_of_what_is_made(text):
    expected = len(text) == tokens.LENGTH and set(text) <= set(tokens.ALPHABET)
    assert tokens.is_well_formed(text) is expected


def test_the_digest_is_sixty_four_hexadecimal_characters_and_stays_the_same():
    assert re.fullmatch(r"[0-9a-f]{64}", tokens.digest(TOKEN))
    assert tokens.digest(TOKEN) == tokens.digest(TOKEN)
    # Changing how a digest is made would sign everybody out.
    assert tokens.digest(TOKEN) == (
        "f6462030f0470c6f567f0dee1e54ad0de4a58191a4d00e3cda4f5ff37333bc04"
    )


def test_the_digest_is_not_the_plain_one_that_other_packages_store():
    assert tokens.digest(TOKEN) != sha256(TOKEN.encode()).hexdigest()
    assert TOKEN not in tokens.digest(TOKEN)


def test_a_digest_is_not_well_formed_as_a_token():
    assert not tokens.is_well_formed(tokens.digest(TOKEN))


@given(st.text("abc0", max_size=6), st.text("abc0", max_size=6))
def test_different_tokens_have_different_digests(one, other):
    assert (tokens.digest(one) == tokens.digest(other)) is (one == other)


def test_an_id_is_a_uuid_of_version_seven():
    for _ in range(200):
        made = tokens.make_id()
        assert made.version == 7
        assert made.variant == RFC_4122


def test_an_id_carries_the_millisecond_in_which_it_was_made():
    before = time.time_ns() // 1_000_000
    made = tokens.make_id()
    assert before <= made.int >> 80 <= time.time_ns() // 1_000_000


@given(
    st.integers(0, 2**48 - 1),
    st.integers(0, 2**48 - 1),
)
def test_ids_sort_by_the_millisecond_in_which_they_were_made(one, other):
    first, second = id_made_at(one), id_made_at(other)
    if one != other:
        assert (first < second) is (one < other)
        assert (str(first) < str(second)) is (one < other)


@pytest.mark.parametrize("number", [5000, pytest.param(100_000, marks=pytest.mark.thorough)])
def test_ids_do_not_repeat(number):
    assert len({tokens.make_id() for _ in range(number)}) == number


def test_ids_of_one_millisecond_do_not_repeat():
    assert len({id_made_at(1_700_000_000_000) for _ in range(1000)}) == 1000


def test_an_id_has_nothing_of_a_token():
    assert not tokens.is_well_formed(str(tokens.make_id()))


def id_made_at(milliseconds):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tokens.time, "time_ns", lambda: milliseconds * 1_000_000 + 999_999)
        return tokens.make_id()


def test_the_first_id_of_a_moment_stands_between_those_before_and_after():
    millisecond = timedelta(milliseconds=1)
    earliest = datetime.now(UTC)
    before = tokens.make_id()
    moment = tokens.made_at(before)
    assert earliest - millisecond < moment <= datetime.now(UTC)
    first = tokens.first_id(moment)
    assert first <= before < tokens.first_id(moment + millisecond)
    assert tokens.made_at(first) == moment
    assert (first.version, first.variant) == (before.version, before.variant)


def test_before_ids_were_made_there_is_a_first_one_too():
    assert tokens.made_at(tokens.first_id(datetime(1960, 1, 1, tzinfo=UTC))).year == 1970
