"""Segments: one text for each content, and no other is read."""

import json
from base64 import urlsafe_b64encode
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from uuid import UUID

import pytest
from django.utils.translation import gettext_lazy
from hypothesis import given
from hypothesis import strategies as st

from django_sessions_plus.jwt import compact
from tests.jwt.forging import segment

ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


@given(st.binary(max_size=64))
def test_what_is_encoded_is_base64url_without_padding_and_comes_back(data):
    text = compact.encode(data)
    assert text == urlsafe_b64encode(data).decode().rstrip("=")
    assert compact.decode(text) == data


@given(st.binary(min_size=1, max_size=8))
def test_no_other_text_is_read_as_the_same_bytes(data):
    text = compact.encode(data)
    for last in ALPHABET:
        changed = text[:-1] + last
        assert changed == text or compact.decode(changed) != data


@given(st.text(alphabet=ALPHABET + "+/= \n.\0é", max_size=12))
def test_a_text_is_read_only_if_it_is_the_one_that_would_be_written(text):
    data = compact.decode(text)
    assert data is None or compact.encode(data) == text


@pytest.mark.parametrize(
    "text", ["YQ==", "YQ=", "YR", "Y", "Y Q", "YQ\n", "+/+/", "Y.Q", "ÿÿÿÿ", "\ud800"]
)
def test_what_others_tolerate_is_refused(text):
    assert compact.decode(text) is None


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(st.dictionaries(st.text(max_size=5), json_values, max_size=4))
def test_an_object_comes_back_as_it_was_written(claims):
    assert compact.read(compact.write(claims)) == claims


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (datetime(2030, 1, 2, 3, 4, 5, 678, tzinfo=UTC), "2030-01-02T03:04:05.000678Z"),
        (datetime(2030, 1, 2, 3, tzinfo=timezone(timedelta(hours=2))), "2030-01-02T03:00:00+02:00"),
        (datetime(2030, 1, 2, 3), "2030-01-02T03:00:00"),
        (date(2030, 1, 2), "2030-01-02"),
        (time(3, 4), "03:04:00"),
        (Decimal("1.50"), "1.50"),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (gettext_lazy("Sessions"), "Sessions"),
    ],
)
def test_what_json_has_no_form_for_is_written_as_text(value, text):
    assert compact.is_plain(value)
    assert compact.read(compact.write({"a": value})) == {"a": text}


@pytest.mark.parametrize("value", [{1}, b"a", object(), lambda: 1])
def test_anything_else_is_no_json(value):
    assert not compact.is_plain(value)
    with pytest.raises(TypeError):
        compact.write({"a": value})


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_that_are_none_are_neither_written_nor_read(value):
    with pytest.raises(ValueError, match="JSON"):
        compact.write({"a": value})
    assert compact.read(segment({"a": value})) is None


@pytest.mark.parametrize(
    "text",
    [
        '{"sub":"1","sub":"2"}',
        '{"sub":"1","sub":"1"}',
        '{"sub":"1","s\\u0075b":"2"}',
        '{"a":{"sub":1,"sub":1}}',
        "[]",
        '"a"',
        "1",
        "null",
        "",
        "{",
        "{}x",
        "{'a':1}",
        b'{"a":"\xff"}',
        b"\xef\xbb\xbf{}",
        '{"a":1}'.encode("utf-16"),
        '{"a":' + "9" * 5000 + "}",
        '{"a":' * 1500 + "1" + "}" * 1500,
        "[" * 6000,
    ],
)
def test_what_is_no_object_or_names_a_member_twice_is_not_read(text):
    assert compact.read(segment(text)) is None or deep_json_is_fine(text)


def deep_json_is_fine(text):
    # Newer Pythons read what nests deeply.
    return text.startswith('{"a":{') and json.loads(text) is not None
