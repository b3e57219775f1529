"""How data is stored: plain, compressed, in Django's signed form; and bad data, which is no data."""

from __future__ import annotations

import json
import logging
import zlib
from base64 import b64encode
from typing import Any

import pytest
from django.contrib.sessions.backends.db import SessionStore as DjangoStore
from django.core import signing

from django_sessions_plus.backends.db import SessionStore
from django_sessions_plus.models import Session
from tests.conftest import OpenSession

LARGE = {"list": ["some text that repeats itself"] * 200}


class ReprSerializer:
    """Stands for pickle: another serializer than Django's JSON, that takes what JSON does not."""

    def dumps(self, obj: Any) -> bytes:
        return repr(obj).encode()

    def loads(self, data: bytes) -> Any:
        return eval(data)


@pytest.fixture
def _other_serializer(settings: Any) -> None:
    settings.SESSION_SERIALIZER = f"{__name__}.ReprSerializer"


def test_little_data_is_plain_json():
    assert SessionStore().encode({"colour": "red", "ü": "€"}) == (
        '{"colour":"red","\\u00fc":"\\u20ac"}'
    )


def test_an_empty_session_is_stored_as_such():
    assert SessionStore().encode({}) == "{}"
    assert SessionStore().decode("{}") == SessionStore().decode("") == {}


def test_much_data_is_compressed():
    text = SessionStore().encode(LARGE)
    assert len(text) < len(json.dumps(LARGE)) / 10
    assert SessionStore().decode(text) == LARGE


@pytest.mark.parametrize("size", [2030, 2047, 2048, 2049, 2100])
def test_nothing_is_lost_around_the_size_that_is_compressed(size: int):
    data = {"text": "x" * (size - len('{"text":""}'))}
    text = SessionStore().encode(data)
    assert text.startswith("{") == (size <= 2048)
    assert SessionStore().decode(text) == data


@pytest.mark.parametrize("data", [{"colour": "red"}, LARGE], ids=["little", "much"])
def test_what_djangos_engine_stored_can_be_read(data: dict[str, Any]):
    assert SessionStore().decode(DjangoStore().encode(data)) == data


@pytest.mark.usefixtures("_other_serializer")
def test_another_serializer_keeps_djangos_signature():
    text = SessionStore().encode({"tuple": (1, 2)})
    assert SessionStore().decode(text) == {"tuple": (1, 2)}
    assert signing.loads(text, salt=SessionStore().key_salt, serializer=ReprSerializer)


@pytest.mark.usefixtures("_other_serializer")
def test_another_serializer_never_sees_what_is_not_signed():
    payload = b"{}.__setitem__"
    compressed = "z:" + b64encode(zlib.compress(payload)).decode()
    for text in ["{}", '{"colour":"red"}', "{1: exit(1)}", compressed]:
        assert SessionStore().decode(text) == {}


CORRUPT = [
    "{",
    '{"colour":',
    '{"colour":"red"} more',
    "{\x00}",
    "z:",
    "z:not base64!",
    "z:" + b64encode(b"not compressed").decode(),
    "z:" + b64encode(zlib.compress(b"not json")).decode(),
    "z:" + b64encode(zlib.compress(b"[1, 2]")).decode(),
    "z:ü",
    '{"a":' + "[" * 100_000,
]


@pytest.mark.parametrize("text", CORRUPT, ids=lambda text: text[:12])
def test_corrupt_data_is_an_empty_session(text: str):
    assert SessionStore().decode(text) == {}


@pytest.mark.parametrize("text", ["garbage", "a:b:c", "[1]", "null", "\x00"])
def test_data_with_a_bad_signature_is_empty_and_logged_as_django_does(
    text: str, caplog: pytest.LogCaptureFixture
):
    with caplog.at_level(logging.DEBUG):
        assert SessionStore().decode(text) == {}
    assert [(record.name, record.getMessage()) for record in caplog.records] == [
        ("django.security.SuspiciousSession", "Session data corrupted")
    ]


def test_a_session_with_corrupt_data_opens_empty_and_can_be_saved(open_session: OpenSession):
    session = open_session()
    session.save()
    Session.objects.update(session_data="{ corrupt")
    again = open_session(session.token)
    assert dict(again.items()) == {}
    assert again.session_key == session.token
    again.set("colour", "red")
    again.save()
    assert again.stored.get_decoded() == {"colour": "red"}


def test_what_djangos_engine_stored_is_rewritten_when_it_changes(open_session: OpenSession):
    session = open_session()
    session.save()
    Session.objects.update(session_data=DjangoStore().encode({"colour": "red"}))
    again = open_session(session.token)
    again.set("size", 1)
    again.save()
    assert again.stored.session_data == '{"colour":"red","size":1}'


def test_much_data_survives_storage(open_session: OpenSession):
    session = open_session()
    session.update(LARGE | {"random": "".join(map(chr, range(32, 5000)))})
    session.save()
    assert dict(open_session(session.token).items()) == dict(session.items())


def test_the_row_returns_exactly_what_was_stored(open_session: OpenSession):
    session = open_session()
    session.set("colour", "red")
    session.store.remember = False
    session.save()
    assert session.stored.get_decoded() == {"colour": "red"}
