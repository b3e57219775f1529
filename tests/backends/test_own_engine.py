"""What a project may override in an engine of its own: the list in ``backends.db``, each entry called in both modes."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from django.utils.functional import cached_property

from django_sessions_plus import tokens
from django_sessions_plus.backends import db
from django_sessions_plus.backends.rows import Rows
from django_sessions_plus.models import Session
from tests.backends.drivers import AsyncSession, SyncSession

DOCS = Path(__file__).parents[2] / "docs" / "extending.md"

called: set[str] = set()


class SessionStore(db.SessionStore):
    """Overrides all that may be overridden."""

    @classmethod
    def get_model_class(cls) -> type[Session]:
        called.add("get_model_class")
        return Session

    def extra_columns(self, data: Mapping[str, Any]) -> dict[str, Any]:
        called.add("extra_columns")
        return {"name": data.get("name", "")}

    def create_model_instance(self, data: dict[str, Any]) -> Any:
        called.add("create_model_instance")
        return super().create_model_instance(data)

    def get_session_cookie_age(self) -> int:
        called.add("get_session_cookie_age")
        return 3600

    def encode(self, session_dict: dict[str, Any]) -> str:
        called.add("encode")
        return super().encode({**session_dict, "encoded": True})

    def decode(self, session_data: str) -> dict[str, Any]:  # type: ignore[override]  # no bytes here
        called.add("decode")
        return super().decode(session_data)

    def _get_new_session_key(self) -> str:
        called.add("_get_new_session_key")
        return "own" + tokens.make_token()[3:]

    @cached_property
    def rows(self) -> Rows:
        called.add("rows")
        return Rows(self.get_model_class())

    @classmethod
    def invalidation_delay(cls) -> int | None:
        called.add("invalidation_delay")
        return super().invalidation_delay()


class OwnSync(SyncSession):
    engine = SessionStore


class OwnAsync(AsyncSession):
    engine = SessionStore


def listed(text: str) -> set[str]:
    """Return the names in the list that follows "may override" in a text."""
    entries = text.partition("may override:")[2].strip().split("\n\n")[0]
    names = re.findall(r"^- (.*?):", entries, re.M)
    return {name for entry in names for name in re.findall(r"`+(\w+)", entry)}


def test_the_list_names_what_there_is():
    names = listed(db.__doc__ or "")
    assert len(names) == 9
    assert all(hasattr(db.SessionStore, name) for name in names)
    assert names == {name for name in vars(SessionStore) if not name.startswith("__")}


def test_the_docs_have_the_same_list():
    assert listed(DOCS.read_text()) == listed(db.__doc__ or "")


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("open_own", [OwnSync, OwnAsync], ids=["sync", "async"])
def test_each_of_them_is_called(open_own: Callable[..., SyncSession]):
    called.clear()
    session = open_own()
    session.set("name", "laptop")
    session.save()
    again = open_own(session.token)
    assert again.load()["encoded"]
    again.set("name", "phone")
    again.save()
    again.cycle_key()
    SessionStore.invalidation_delay()
    assert called == listed(db.__doc__ or "")
    row = Session.objects.get()
    assert again.token.startswith("own")
    assert (row.name, row.token_digest) == ("phone", tokens.digest(again.token))
    assert (row.expires_at - row.updated_at).total_seconds() == 3600


@pytest.mark.django_db(transaction=True)
def test_a_coroutine_method_runs_the_inherited_method_and_not_an_override():
    """Else what overrides both, and calls the inherited one in both, would do its own part twice."""
    done = []

    class Own(db.SessionStore):
        def save(self, must_create: bool = False) -> None:
            super().save(must_create)
            done.append("save")

        async def asave(self, must_create: bool = False) -> None:
            await super().asave(must_create)
            done.append("asave")

    class OwnTwins(AsyncSession):
        engine = Own

    session = OwnTwins("a" * 32)
    session.load()
    session.store._session_key = None
    session.set("colour", "red")
    session.save()
    again = OwnTwins(session.token)
    again.set("colour", "blue")
    done.clear()
    again.save()
    assert done == ["asave"]
