"""Sync and async: every method of the contract has its twin, and no coroutine does sync I/O."""

import ast
import inspect
from pathlib import Path

import pytest
from asgiref.sync import SyncToAsync, async_to_sync, iscoroutinefunction
from django.contrib.sessions.backends.base import SessionBase
from django.http import HttpRequest, HttpResponse
from django.test import AsyncClient

import django_sessions_plus
from django_sessions_plus import middleware, sessions
from django_sessions_plus.accounts import credential_changes, second_factors
from django_sessions_plus.backends.db import SessionStore
from django_sessions_plus.bulk import purging
from django_sessions_plus.jwt import issuing, refresh
from django_sessions_plus.middleware import AuthenticationMiddleware, SessionMiddleware
from django_sessions_plus.querysets import SessionQuerySet
from tests.backends import drivers

SOURCE = Path(django_sessions_plus.__file__).parent
OURS = [cls for cls in SessionStore.__mro__ if cls.__module__.startswith("django_sessions_plus")]

# Only the async ones are wrong in Django: it forgets to mark the session as modified, and coroutines
# that run at the same time load it more than once.
REPAIRED = {"adelete_test_cookie", "_aget_session"}

# Methods of ours beside the contract that read or write, and so need a twin as well.
IO_OF_OURS = {"load_if_needed", "open_by_id", "touch"}

TERMINAL = {
    *("get", "first", "last", "latest", "earliest", "exists", "count", "aggregate", "in_bulk"),
    *("save", "update", "delete", "create", "get_or_create", "update_or_create", "bulk_create"),
    *("bulk_update", "iterator", "contains", "explain", "refresh_from_db", "full_clean"),
    # And those of our own that read or write.
    *(
        "open_by_id",
        "issue_tokens",
        "start",
        "refresh",
        "end_as",
        "start_refresh",
        "rotate_refresh",
        "user_of",
    ),
    *("end", "purge", "load", "load_if_needed", "touch", "flush", "cycle_key", "repeat_end"),
    *("revoke", "revoke_many", "revoke_others", "revoke_all", "revoke_everyone"),
    *("enforce_limit", "resolve", "send", "send_robust"),
    *("clear_expired", "get_user", "on_commit", "atomic"),
}
# Reads of plain dictionaries and of attributes, by what stands before the dot.
NO_QUERY_BEHIND = {
    "request.META",
    "request.COOKIES",
    "request.headers",
    "kwargs",
    "data",
    "columns",
    "steps",
}


def overridden():
    """Return the methods of the contract that the package's classes define anew."""
    contract = {name for name in dir(SessionBase) if callable(getattr(SessionBase, name))}
    defined = {
        name
        for cls in OURS
        for name, value in vars(cls).items()
        if inspect.isroutine(value) or isinstance(value, classmethod)
    }
    return (defined & contract) - {"__init__"}


def twin_of(name: str) -> str:
    """Return the name of the async twin: load, aload; _get_session, _aget_session."""
    bare = name.lstrip("_")
    return name[: len(name) - len(bare)] + "a" + bare


def sibling_of(name: str) -> str | None:
    for candidate in dir(SessionBase):
        if twin_of(candidate) == name:
            return candidate
    return None


def pairs():
    """Return every pair of twins of the package that other code may call."""
    contract = {
        (SessionStore, name) for name in overridden() if hasattr(SessionBase, twin_of(name))
    }
    ours = {(SessionStore, name) for name in IO_OF_OURS}
    verbs = {
        (sessions, name)
        for name, value in vars(sessions).items()
        if inspect.isfunction(value) and hasattr(sessions, twin_of(name))
    }
    others = {
        (SessionQuerySet, "end"),
        (purging, "purge"),
        (SessionMiddleware, "process_response"),
        (middleware, "get_user"),
        (issuing, "issue_tokens"),
        (refresh, "refresh"),
        (second_factors, "check_sign_in"),
        (credential_changes, "report_changed_credential"),
    }
    found = contract | ours | verbs | others
    return sorted(found, key=lambda pair: (pair[0].__name__, pair[1]))


def test_whatever_of_the_contract_is_overridden_is_overridden_in_both_modes():
    ours = overridden()
    for name in sorted(ours):
        if hasattr(SessionBase, twin_of(name)):
            assert twin_of(name) in ours, f"{name}() is ours and {twin_of(name)}() is Django's"
        sibling = sibling_of(name)
        if sibling is not None and name not in REPAIRED:
            assert sibling in ours, f"{name}() is ours and {sibling}() is Django's"


def test_everything_that_reaches_storage_is_overridden():
    for name in (
        "load",
        "exists",
        "create",
        "save",
        "delete",
        "flush",
        "cycle_key",
        "clear_expired",
    ):
        assert {name, twin_of(name)} <= overridden()


def test_the_verbs_have_twins():
    names = {name for owner, name in pairs() if owner is sessions}
    assert names == {
        *("list_for", "resolve", "revoke"),
        *("revoke_all", "revoke_everyone", "revoke_many", "revoke_others"),
        *("issue_tokens", "start"),
    }


def test_there_are_pairs_to_compare():
    assert len(pairs()) > 20


@pytest.mark.parametrize(
    ("owner", "name"), pairs(), ids=lambda value: getattr(value, "__name__", value)
)
def test_twins_take_the_same_arguments_and_say_so(owner, name):
    sibling, twin = getattr(owner, name), getattr(owner, twin_of(name))
    assert iscoroutinefunction(twin)
    assert not iscoroutinefunction(sibling)
    one, other = inspect.signature(sibling), inspect.signature(twin)
    assert str(one).partition(" -> ")[0] == str(other).partition(" -> ")[0]
    if name == "list_for":
        # The set is lazy, a list of it is what can be awaited.
        assert one.return_annotation != other.return_annotation
    else:
        assert one.return_annotation == other.return_annotation
    if name.startswith("_"):
        return
    assert inspect.getdoc(sibling), f"{name}() has no docstring"
    assert inspect.getdoc(twin).partition(".")[0] == f"See {name}()"


@pytest.mark.style
@pytest.mark.parametrize(
    ("owner", "name"), pairs(), ids=lambda value: getattr(value, "__name__", value)
)
def test_a_twin_stands_directly_below_its_sibling(owner, name):
    sibling, twin = getattr(owner, name), getattr(owner, twin_of(name))
    path = Path(inspect.getsourcefile(inspect.unwrap(sibling)))
    # What async_twin() has made stands where its sibling does.
    assert path == Path(inspect.getsourcefile(inspect.unwrap(twin)))
    neighbours = definitions_beside(path, sibling.__qualname__)
    assert neighbours[neighbours.index(name) + 1] == twin_of(name)


def definitions_beside(path: Path, qualname: str) -> list[str]:
    """Return the names defined in the class or module that a function is defined in, in order."""
    scope: ast.Module | ast.ClassDef = ast.parse(path.read_text())
    for name in qualname.split(".")[:-1]:
        (scope,) = (n for n in scope.body if isinstance(n, ast.ClassDef) and n.name == name)
    names = []
    for node in scope.body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            names.append(node.name)
        elif isinstance(node, ast.Assign):
            names += [target.id for target in node.targets if isinstance(target, ast.Name)]
    return names


def coroutines():
    for path in sorted(SOURCE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.AsyncFunctionDef):
                yield path.relative_to(SOURCE), node


def test_no_coroutine_calls_what_reads_or_writes_without_awaiting():
    wrong: list[str] = []
    seen = 0
    for path, coroutine in coroutines():
        seen += 1
        awaited = {id(n.value) for n in ast.walk(coroutine) if isinstance(n, ast.Await)}
        wrong += [
            f"{path}:{node.lineno} {ast.unparse(node)}"
            for node in ast.walk(coroutine)
            if isinstance(node, ast.Call) and id(node) not in awaited and is_terminal(node)
        ]
    assert seen > 20
    assert not wrong


def is_terminal(call: ast.Call) -> bool:
    function = call.func
    if isinstance(function, ast.Name):
        return function.id in TERMINAL or (
            # What a list, a set or the like of a lazy set does is a query.
            function.id in {"list", "set", "tuple", "len", "bool", "sorted", "any", "all"}
            and any(is_lazy_set(argument) for argument in call.args)
        )
    if not isinstance(function, ast.Attribute) or function.attr not in TERMINAL:
        return False
    return ast.unparse(function.value) not in NO_QUERY_BEHIND


def is_lazy_set(node: ast.AST) -> bool:
    text = ast.unparse(node)
    return any(word in text for word in ("rows", "objects", "list_for", "query", ".filter("))


def test_no_coroutine_loops_over_a_lazy_set_without_async_for():
    for path, coroutine in coroutines():
        for node in ast.walk(coroutine):
            loops = isinstance(node, ast.For)
            loops = loops or (isinstance(node, ast.comprehension) and not node.is_async)
            if loops:
                assert not is_lazy_set(node.iter), f"{path}: {ast.unparse(node.iter)}"


@pytest.mark.parametrize("cls", [SessionMiddleware, AuthenticationMiddleware])
def test_the_middleware_is_native_in_both_modes(cls):
    async def aview(request):
        return HttpResponse()

    def view(request):
        return HttpResponse()

    assert cls.sync_capable
    assert cls.async_capable
    # What Django asks before it decides whether to put a thread in between.
    assert iscoroutinefunction(cls(aview))
    assert not iscoroutinefunction(cls(view))


@pytest.fixture
def hops(monkeypatch):
    """Return the functions that coroutines handed to a thread."""
    seen = []
    original = SyncToAsync.__call__

    async def spy(self, *args, **kwargs):
        seen.append(self.func)
        return await original(self, *args, **kwargs)

    monkeypatch.setattr(SyncToAsync, "__call__", spy)
    return seen


async def untouched(request):
    return HttpResponse("untouched")


async def call_chain(view, **cookies):
    request = HttpRequest()
    request.META["REMOTE_ADDR"] = "203.0.113.7"
    request.COOKIES = cookies
    handler = SessionMiddleware(AuthenticationMiddleware(view))
    return await handler(request)


@pytest.mark.parametrize("cookies", [{}, {"sessionid": "not one of ours"}, {"sessionid": "a" * 32}])
def test_a_request_that_touches_nothing_takes_no_thread_and_no_query(hops, cookies):
    # Without access to the database: a query would fail the test.
    response = async_to_sync(call_chain)(untouched, **cookies)
    assert response.content == b"untouched"
    assert not response.cookies
    assert hops == []


def test_the_spy_sees_a_thread_that_is_taken(hops):
    @async_to_sync
    async def take():
        async def view(request):
            return HttpResponse()

        class Extended(SessionMiddleware):
            def process_response(self, request, response):
                return response

        request = HttpRequest()
        await Extended(view)(request)

    take()
    assert len(hops) == 1


@pytest.mark.django_db(transaction=True)
@pytest.mark.urls("tests.custom.urls")
def test_reading_the_user_of_a_signed_in_session_takes_one_thread(django_user_model, hops):
    """The one the query runs in; the ORM's own coroutines would take no fewer."""
    user = django_user_model.objects.create_user("ada", "ada@example.com")

    @async_to_sync
    async def story():
        client = AsyncClient()
        await client.aforce_login(user)
        hops.clear()
        response = await client.get("/awho")
        assert response.content == b"ada"

    story()
    modules = [getattr(function, "__module__", "") or "" for function in hops]
    assert [name for name in modules if name.startswith("django_sessions_plus")] == [
        drivers.SessionStore.load_if_needed.__module__
    ]
