"""Names of Django that it may rename without a notice: each is still there, is noted, and no other is used.

The tests of what uses them would fail as well, but not as clearly.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.contrib.admin.utils import NestedObjects
from django.contrib.auth import middleware as auth_middleware
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import User
from django.contrib.sessions.backends.base import SessionBase
from django.contrib.sessions.backends.db import SessionStore as DBStore
from django.core.cache.backends.redis import RedisCache, RedisCacheClient
from django.db import connection, transaction
from django.db.models import deletion
from django.db.models.query import QuerySet
from django.db.models.sql import DeleteQuery
from django.dispatch import Signal
from django.http import HttpRequest, QueryDict

PACKAGE = Path(__file__).parents[1] / "django_sessions_plus"

NOTE = "Private names of Django 5.2 to 6.1"
"""What stands beside each of them."""

PUBLIC = {"_meta", "_default_manager", "_base_manager", "_state", "_replace"}
"""Names with an underscore that Django and Python document."""

OF_OTHERS = {
    "_map_serializer": "api/schema/bodies.py",
    "_sock": "backends/leasing/redis_channel.py",
}
"""Of packages whose own tests would notice."""


def source(*parts: Any) -> str:
    return "\n".join(inspect.getsource(part) for part in parts)


def unsaved_password() -> bool:
    user: Any = User(username="ada")
    is_set = user._password is None
    user.set_password("x")
    return is_set and user._password == "x" and "_password" in source(AbstractBaseUser.save)


def sorted_receivers() -> bool:
    signal = Signal()
    signal.connect(unsaved_password, dispatch_uid="one")
    with signal.lock:
        return bool(signal.receivers[0][0][0] == "one")


def lazy_on_delete() -> bool:
    takes = [*inspect.signature(deletion.CASCADE).parameters]
    collects = {*inspect.signature(deletion.Collector.collect).parameters}
    return (
        takes == ["collector", "field", "sub_objs", "using"]
        and {"source", "source_attr", "nullable", "fail_on_restricted"} <= collects
        and deletion.SET_NULL.lazy_sub_objs is True  # type: ignore[attr-defined]
        and hasattr(NestedObjects("default"), "edges")
    )


def raw_delete() -> bool:
    # A cascade and a delete() of a queryset come to it, too.
    return [*inspect.signature(QuerySet._raw_delete).parameters] == [
        "self",
        "using",
    ] and "_raw_delete(" in source(deletion.Collector.delete)


def delete_query() -> bool:
    rows: Any = User.objects.filter(pk__in=[1])
    sql, _ = rows.query.chain(DeleteQuery).get_compiler("default").as_sql()
    return bool(sql.startswith("DELETE FROM "))


def cloned_querysets() -> bool:
    return "_clone()" in source(vars(QuerySet)["_chain"]) and "_db" in vars(
        User.objects.using("default")
    )


def cached_users() -> bool:
    text = source(auth_middleware)
    return "request._cached_user" in text and "request._acached_user" in text


def body_and_form() -> bool:
    return (
        "self._body" in source(vars(HttpRequest)["body"].fget)
        and "self._post" in source(HttpRequest._load_post_and_files)
        and QueryDict("")._mutable is False
    )


def callbacks() -> bool:
    def nothing() -> None:
        pass

    with transaction.atomic():
        transaction.on_commit(nothing)
        callback: Any = connection.run_on_commit[-1][1]
        return callback is nothing and hasattr(connection.atomic_blocks[0], "_from_testcase")


def redis_client() -> bool:
    pytest.importorskip("redis", reason="Django's client of Redis needs redis-py")
    cache: Any = RedisCache("redis://127.0.0.1:1", {})
    made: Any = RedisCacheClient(cache._servers, **cache._options)
    return all((cache._servers, cache._class is RedisCacheClient, made._serializer))


def names_of_a_store() -> bool:
    store: Any = SessionBase()
    store._session_cache = {"a": 1}
    return (
        store["a"] == 1
        and store._get_session() is store._session_cache
        and store._session_key is None
        and callable(store._aget_session)
        and "_get_new_session_key()" in source(DBStore.create)
    )


NAMES: list[tuple[str, set[str], Callable[[], bool]]] = [
    ("accounts/password_changes.py", {"_password"}, unsaved_password),
    ("accounts/receivers.py", set(), sorted_receivers),
    ("bulk/deleting.py", {"_raw_delete"}, raw_delete),
    ("bulk/deleting.py", {"lazy_sub_objs"}, lazy_on_delete),
    ("bulk/deleting.py", set(), delete_query),
    ("querysets.py", {"_raw_delete"}, raw_delete),
    ("querysets.py", {"_chain", "_clone", "_db"}, cloned_querysets),
    ("middleware.py", {"_cached_user", "_acached_user"}, cached_users),
    ("http/hidden.py", {"_body", "_post", "_mutable"}, body_and_form),
    ("backends/commits.py", {"_from_testcase"}, callbacks),
    ("backends/settlement.py", {"_from_testcase"}, callbacks),
    (
        "backends/caching/redis_client.py",
        {"_servers", "_options", "_serializer", "_class"},
        redis_client,
    ),
    (
        "backends/base.py",
        {"_session_cache", "_session_key", "_get_session", "_aget_session", "_get_new_session_key"},
        names_of_a_store,
    ),
    ("checks/alerts.py", {"_wrapped"}, lambda: bool(vars(settings)["_wrapped"])),
]


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("module", "names", "is_there"), NAMES, ids=[f"{m} {f.__name__}" for m, _, f in NAMES]
)
def test_django_still_has_it(module: str, names: set[str], is_there: Callable[[], bool]):
    text = (PACKAGE / module).read_text()
    assert NOTE in " ".join(text.replace("#", "").split()), (
        f"{module} does not say which names are private"
    )
    assert all(name in text for name in names), f"{module} does not use {names} any more"
    assert is_there(), f"Django has changed what {module} uses: {', '.join(names) or is_there}"


def foreign_names(path: Path) -> Iterator[str]:
    """Yield the names with an underscore that a module takes from an object, as an attribute or by getattr()."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.ImportFrom) and not (node.module or "").startswith("django_ses"):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.Call) and getattr(node.func, "id", "").endswith("attr"):
            yield from (str(arg.value) for arg in node.args[1:2] if isinstance(arg, ast.Constant))


def own_names(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif (
            isinstance(node, ast.Attribute)
            and isinstance(node.ctx, ast.Store)
            and getattr(node.value, "id", "") in {"self", "cls"}
        ):
            yield node.attr


def test_no_other_private_name_is_used():
    modules = [path for path in PACKAGE.rglob("*.py") if "migrations" not in path.parts]
    ours = {name for path in modules for name in own_names(path)}
    noted = {(module, name) for module, names, _ in NAMES for name in names}
    found = {
        (str(path.relative_to(PACKAGE)), name)
        for path in modules
        for name in foreign_names(path)
        if name.startswith("_") and not name.startswith("__")
    }
    left = {
        (module, name)
        for module, name in found - noted
        if name not in ours | PUBLIC and OF_OTHERS.get(name) != module
    }
    assert not left
