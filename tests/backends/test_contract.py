"""What Django's SessionBase promises, and code written for its engines relies on."""

from __future__ import annotations

import string

import pytest
from django.contrib.sessions.backends.base import SessionBase

from django_sessions_plus.backends.db import SessionStore
from django_sessions_plus.models import Session
from tests.conftest import OpenSession


def test_new_session_is_empty_and_neither_accessed_nor_modified(open_session: OpenSession):
    session = open_session()
    assert session.is_empty()
    assert session.session_key is None
    assert (session.accessed, session.modified) == (False, False)


@pytest.mark.parametrize("method", ["__contains__", "__getitem__", "__setitem__", "__delitem__"])
def test_it_is_a_mapping(method: str, db: None):
    assert issubclass(SessionStore, SessionBase)
    assert hasattr(SessionStore, method)


def test_get_returns_the_value_or_the_default_and_does_not_modify(open_session: OpenSession):
    session = open_session()
    assert session.get("absent") is None
    assert session.get("absent", "default") == "default"
    assert (session.accessed, session.modified) == (True, False)


def test_set_modifies(open_session: OpenSession):
    session = open_session()
    session.set("colour", "red")
    assert session.get("colour") == "red"
    assert (session.accessed, session.modified) == (True, True)


def test_pop_returns_the_value_once_and_modifies(open_session: OpenSession):
    session = open_session()
    session.set("colour", "red")
    session.store.modified = False
    assert session.pop("colour") == "red"
    assert session.modified is True
    assert session.get("colour") is None


def test_pop_of_an_absent_key_returns_the_default_and_does_not_modify(open_session: OpenSession):
    session = open_session()
    assert session.pop("absent", "default") == "default"
    assert session.pop("absent", None) is None
    assert session.pop("absent", default="named") == "named"
    assert session.modified is False
    with pytest.raises(KeyError):
        session.pop("absent")


def test_setdefault_sets_what_is_absent_and_keeps_what_is_there(open_session: OpenSession):
    session = open_session()
    assert session.setdefault("colour", "red") == "red"
    session.store.modified = False
    assert session.setdefault("colour", "blue") == "red"
    assert session.modified is False


def test_update_sets_several_keys_and_modifies(open_session: OpenSession):
    session = open_session()
    session.update({"colour": "red", "size": 3})
    assert session.modified is True
    assert dict(session.items()) == {"colour": "red", "size": 3}


def test_keys_values_items_and_has_key_read_without_modifying(open_session: OpenSession):
    session = open_session()
    session.update({"colour": "red"})
    session.store.modified = session.store.accessed = False
    assert list(session.keys()) == ["colour"]
    assert list(session.values()) == ["red"]
    assert list(session.items()) == [("colour", "red")]
    assert session.has_key("colour")
    assert "colour" in session.store
    assert (session.accessed, session.modified) == (True, False)


def test_del_modifies_and_raises_for_an_absent_key():
    store = SessionStore()
    store["colour"] = "red"
    store.modified = False
    del store["colour"]
    assert store.modified is True
    with pytest.raises(KeyError):
        del store["colour"]


def test_clear_empties_the_data_and_modifies(open_session: OpenSession):
    session = open_session()
    session.set("colour", "red")
    session.store.accessed = session.store.modified = False
    session.clear()
    assert list(session.items()) == []
    assert (session.accessed, session.modified) == (True, True)


def test_test_cookie_can_be_set_found_and_deleted(open_session: OpenSession):
    session = open_session()
    assert not session.test_cookie_worked()
    session.set_test_cookie()
    assert session.test_cookie_worked()
    session.store.modified = False
    session.delete_test_cookie()
    assert not session.test_cookie_worked()
    assert session.modified is True


def test_saved_data_comes_back_in_another_store(open_session: OpenSession):
    session = open_session()
    session.update({"colour": "red", "list": [1, {"deep": None}], "text": "ü € 😀 \x00"})
    session.save()
    assert dict(open_session(session.token).items()) == dict(session.items())


def test_reading_leaves_the_session_unmodified(open_session: OpenSession):
    session = open_session()
    session.set("colour", "red")
    session.save()
    again = open_session(session.token)
    again.get("colour")
    again.get_expiry_age()
    again.get_expiry_date()
    again.get_expire_at_browser_close()
    assert (again.accessed, again.modified) == (True, False)


def test_session_key_is_32_lower_case_letters_and_digits(open_session: OpenSession):
    session = open_session()
    session.save()
    assert len(session.token) == 32
    assert set(session.token) <= set(string.ascii_lowercase + string.digits)


def test_session_key_is_read_only():
    with pytest.raises(AttributeError):
        SessionStore().session_key = "a" * 32


@pytest.mark.parametrize("token", [None, "", "short", 12345678, b"a" * 32, ["a"] * 32])
def test_session_key_is_none_for_what_cannot_be_one(token: object):
    assert SessionStore(session_key=token).session_key is None  # type: ignore[arg-type]


def test_underscore_session_key_can_be_set_and_is_validated():
    store = SessionStore()
    store._session_key = "a" * 32
    assert store.session_key == "a" * 32
    store._session_key = "short"
    assert store.session_key is None


def test_a_session_with_a_token_or_with_data_is_not_empty(open_session: OpenSession):
    session = open_session()
    session.set("colour", "red")
    assert not session.is_empty()
    session.save()
    session.pop("colour")
    assert not session.is_empty()


def test_exists_knows_saved_sessions_only(open_session: OpenSession):
    session = open_session()
    session.save()
    assert session.exists(session.token) is True
    for token in [None, "", "short", "a" * 32, "A" * 32, "a" * 100_000, "\x00" * 32]:
        assert session.exists(token) is False


def test_delete_of_what_is_not_there_is_harmless(open_session: OpenSession):
    session = open_session()
    session.save()
    open_session().delete()
    for token in [None, "", "short", "a" * 32, "a" * 100_000, "\x00" * 32]:
        open_session().delete(token)
    assert session.exists(session.token)


@pytest.mark.parametrize("token", ["", "short", "a" * 32])
def test_delete_of_another_token_spares_the_own_session(open_session: OpenSession, token: str):
    session = open_session()
    session.save()
    session.delete(token)
    assert session.exists(session.token)


def test_delete_by_token_on_a_fresh_store_ends_that_session(open_session: OpenSession):
    session = open_session()
    session.save()
    open_session().delete(session.token)
    assert not session.exists(session.token)


def test_the_model_class_counts_rows_and_decodes_them(open_session: OpenSession):
    session = open_session()
    session.set("colour", "red")
    session.save()
    model = SessionStore.get_model_class()
    assert model is Session
    assert [row.get_decoded() for row in model.objects.all()] == [{"colour": "red"}]


def test_the_class_is_called_session_store():
    assert SessionStore.__qualname__ == "SessionStore"
    assert SessionStore().key_salt == "django.contrib.sessions.SessionStore"
