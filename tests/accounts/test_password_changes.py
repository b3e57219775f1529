"""A password changes in a request: which sessions stay, whoever opened them, and which do not."""

from contextvars import Context, copy_context
from threading import Thread
from types import SimpleNamespace
from typing import Any

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.contrib.auth import (
    HASH_SESSION_KEY,
    get_user,
    get_user_model,
    login,
    update_session_auth_hash,
)
from django.contrib.sessions.backends import signed_cookies
from django.contrib.sessions.middleware import SessionMiddleware as DjangoSessionMiddleware
from django.core.signals import request_finished, request_started
from django.http import HttpRequest, HttpResponse
from django.test import AsyncClient, Client, RequestFactory

from django_sessions_plus import sessions
from django_sessions_plus.backends import opened
from django_sessions_plus.backends.configured import new_store
from django_sessions_plus.backends.db import SessionStore
from django_sessions_plus.middleware import SessionMiddleware
from django_sessions_plus.models import Session
from django_sessions_plus.policy import EndReason
from django_sessions_plus.tokens import digest

User = get_user_model()
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls(__name__)]

BACKEND = "django.contrib.auth.backends.ModelBackend"


@pytest.fixture(autouse=True)
def _no_scope_is_left():
    opened.end()
    yield
    opened.end()


@pytest.fixture
def ada():
    return User.objects.create_user("ada", password="lovelace")


@pytest.fixture
def grace():
    return User.objects.create_user("grace", password="hopper", is_staff=True)


def signed_in_here(user: Any) -> SessionStore:
    request = HttpRequest()
    request.session = store = new_store()
    login(request, user, backend=BACKEND)
    store.save()
    return store


def signed_in(user: Any) -> str:
    """Return the token of a session of ``user`` that was started by another request."""
    return str(Context().run(signed_in_here, user).session_key)


def change(user: Any, password: str = "byron") -> None:
    # Not the very object that the request has, as forms and serializers do.
    user = User.objects.get(pk=user.pk)
    user.set_password(password)
    user.save()


def user_of(token: str) -> str:
    """Return who is signed in by ``token``, as the next request would find out."""
    request = HttpRequest()
    request.session = new_store(token)
    opened.begin()
    return get_user(request).get_username()


def states() -> dict[str, str]:
    return dict(Session.objects.values_list("user__username", "end_reason"))


class Headless:
    """What allauth's headless API does for an app that sends ``X-Session-Token``.

    See ``allauth.headless.internal.authkit.authentication_context``.
    """

    def __init__(self, request: HttpRequest) -> None:
        self.request = request

    def __enter__(self) -> HttpRequest:
        request = self.request
        self.old = request.session
        token = request.headers.get("X-Session-Token")
        request.session = new_store()
        if token and new_store().exists(token):
            request.session = new_store(token)
        request.user = get_user(request)
        return request

    def __exit__(self, *args: object) -> None:
        request = self.request
        if request.session.modified and not request.session.is_empty():
            request.session.save()
        self.key = request.session.session_key
        request.session = self.old


def app_change(request: HttpRequest) -> HttpResponse:
    with (app := Headless(request)):
        user: Any = request.user
        change(user)
        update_session_auth_hash(request, User.objects.get(pk=user.pk))
    return HttpResponse(app.key)


def app_change_and_forget(request: HttpRequest) -> HttpResponse:
    """Does not tell the session of the new password."""
    with Headless(request):
        change(request.user)
    return HttpResponse()


def cookie_change(request: HttpRequest) -> HttpResponse:
    user: Any = get_user(request)
    request.user = user
    change(user)
    update_session_auth_hash(request, User.objects.get(pk=user.pk))
    return HttpResponse()


def overtaken_change(request: HttpRequest) -> HttpResponse:
    """Another request of the same browser comes between the new password and its auth hash."""
    user: Any = request.user
    change(user)
    meanwhile = request.GET["meanwhile"]
    Context().run(_meanwhile[meanwhile], str(request.session.session_key))
    if request.GET["renew"] == "hash":
        update_session_auth_hash(request, User.objects.get(pk=user.pk))
    elif request.GET["renew"] == "hash alone":
        request.session[HASH_SESSION_KEY] = User.objects.get(pk=user.pk).get_session_auth_hash()
    else:
        request.session.cycle_key()
    return HttpResponse()


def overtaken_use(request: HttpRequest) -> HttpResponse:
    """Another device changes the password while this request, which does not, uses the session."""
    user: Any = request.user
    assert user.is_authenticated
    Context().run(change, user)
    if request.GET["by"] == "rotation":
        request.session.cycle_key()
    else:
        request.session["colour"] = "red"
    return HttpResponse()


def use(token: str) -> None:
    client = Client()
    client.cookies["sessionid"] = token
    answer = client.get("/who")
    assert answer.content == b""
    # It may arrive after the answer that brings another one.
    assert not answer.cookies
    assert states() == {"ada": EndReason.PASSWORD_CHANGED}


def revoke(token: str) -> None:
    assert sessions.revoke(Session.objects.get(token_digest=digest(token)))


_meanwhile = {"use": use, "revoke": revoke}


def who(request: HttpRequest) -> HttpResponse:
    return HttpResponse(request.user.get_username())


def forgetful_change(request: HttpRequest) -> HttpResponse:
    change(get_user(request))
    return HttpResponse()


def support_tool(request: HttpRequest) -> HttpResponse:
    """A member of the staff looks at somebody's session, by the key that a package has stored, and sets a password."""
    store = new_store(request.POST["key"])
    assert store["_auth_user_id"] == request.POST["user"]
    change(SimpleNamespace(pk=request.POST["user"]))
    return HttpResponse()


def support_tool_that_acts(request: HttpRequest) -> HttpResponse:
    """The same by way of a request made up for the purpose."""
    made_up = HttpRequest()
    made_up.session = new_store(request.POST["key"])
    sessions.resolve(made_up)
    user = get_user(made_up)
    change(user)
    made_up.session["note"] = "the password was reset by the staff"
    return HttpResponse()


def hijack(request: HttpRequest) -> HttpResponse:
    """As django-hijack: sign in as another user, and remember who one was."""
    history = [request.session["_auth_user_id"]]
    user = User.objects.get(pk=request.POST["user"])
    login(request, user, backend=BACKEND)
    request.session[request.POST["flag"]] = history
    return HttpResponse()


def sign_in_elsewhere(request: HttpRequest) -> HttpResponse:
    """Starts a session for somebody else, and changes that person's password afterwards."""
    user = User.objects.get(pk=request.POST["user"])
    store = sessions.start(user)
    change(user)
    return HttpResponse(store.session_key)


async def aapp_change(request: HttpRequest) -> HttpResponse:
    return await sync_to_async(app_change)(request)


async def aforgetful_change(request: HttpRequest) -> HttpResponse:
    return await sync_to_async(forgetful_change)(request)


def _paths() -> Any:
    from django.urls import path  # noqa: PLC0415

    views: list[Any] = [
        *(app_change, app_change_and_forget, cookie_change, forgetful_change, support_tool, who),
        *(support_tool_that_acts, hijack, sign_in_elsewhere, aapp_change, aforgetful_change),
        overtaken_change,
        overtaken_use,
    ]
    return [path(view.__name__, view) for view in views]


urlpatterns = _paths()

DJANGOS_MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
]


@pytest.fixture(params=["ours", "Django's"])
def middleware(request, settings):
    if request.param == "Django's":
        settings.MIDDLEWARE = DJANGOS_MIDDLEWARE
    else:
        settings.MIDDLEWARE = [
            "django_sessions_plus.middleware.SessionMiddleware",
            "django_sessions_plus.middleware.AuthenticationMiddleware",
        ]
    return request.param


@pytest.fixture
def browser():
    def browse(token: str) -> Client:
        client = Client()
        client.cookies["sessionid"] = token
        return client

    return browse


class TestAnAppWithItsOwnHeader:
    def test_its_session_stays_under_a_new_key_and_others_end(self, ada, middleware):
        mine, other = signed_in(ada), signed_in(ada)
        answer = Client().post("/app_change", headers={"X-Session-Token": mine})
        assert answer.status_code == 200
        key = answer.content.decode()
        assert key != mine
        assert (user_of(key), user_of(mine), user_of(other)) == ("ada", "", "")
        assert sorted(Session.objects.values_list("end_reason", flat=True)) == [
            "",
            EndReason.PASSWORD_CHANGED,
        ]
        assert not answer.cookies

    def test_in_an_async_request_through_our_middleware(self, ada):
        mine = signed_in(ada)
        headers = {"X-Session-Token": mine}
        answer = async_to_sync(AsyncClient().post)("/aapp_change", headers=headers)
        assert (answer.status_code, user_of(answer.content.decode())) == (200, "ada")

    def test_it_ends_with_the_request_if_it_is_not_told_of_the_new_password(self, ada, middleware):
        mine = signed_in(ada)
        Client().post("/app_change_and_forget", headers={"X-Session-Token": mine})
        assert states() == {"ada": EndReason.PASSWORD_CHANGED}
        assert user_of(mine) == ""

    def test_a_cookie_of_the_same_person_that_was_not_used_is_no_part_of_it(self, ada):
        mine, in_browser = signed_in(ada), signed_in(ada)
        client = Client()
        client.cookies["sessionid"] = in_browser
        answer = client.post("/app_change", headers={"X-Session-Token": mine})
        assert user_of(answer.content.decode()) == "ada"
        assert user_of(in_browser) == ""


class TestTheCookie:
    def test_the_session_stays_under_a_new_key(self, ada, browser, middleware):
        mine, other = signed_in(ada), signed_in(ada)
        answer = browser(mine).post("/cookie_change")
        assert answer.status_code == 200
        key = answer.cookies["sessionid"].value
        assert (user_of(key), user_of(mine), user_of(other)) == ("ada", "", "")

    @pytest.mark.parametrize("renew", ["hash", "hash alone"])
    def test_another_request_that_finds_the_new_password_first_signs_nobody_out(
        self, ada, browser, renew
    ):
        """It ends the session, as Django's would; the one that sets the password begins another, as Django's does."""
        mine = signed_in(ada)
        client = browser(mine)
        assert client.post(f"/overtaken_change?meanwhile=use&renew={renew}").status_code == 200
        key = client.cookies["sessionid"].value
        assert (user_of(key), user_of(mine)) == ("ada", "")
        assert sorted(Session.objects.values_list("end_reason", flat=True)) == [
            "",
            EndReason.PASSWORD_CHANGED,
        ]

    def test_what_it_begins_ends_too_if_it_does_not_store_the_new_auth_hash(self, ada, browser):
        mine = signed_in(ada)
        client = browser(mine)
        client.post("/overtaken_change?meanwhile=use&renew=key")
        assert set(Session.objects.values_list("end_reason", flat=True)) == {
            EndReason.PASSWORD_CHANGED
        }

    @pytest.mark.parametrize("renew", ["hash", "hash alone"])
    def test_who_is_signed_out_by_somebody_meanwhile_stays_signed_out(self, ada, browser, renew):
        client = browser(signed_in(ada))
        answer = client.post(f"/overtaken_change?meanwhile=revoke&renew={renew}")
        assert answer.status_code == 400
        assert states() == {"ada": EndReason.REVOKED}

    @pytest.mark.parametrize("by", ["rotation", "save"])
    def test_a_password_that_another_device_has_changed_signs_a_running_request_out(
        self, ada, browser, by
    ):
        """Only the request that has saved the password itself begins a session in place of the ended one."""
        assert browser(signed_in(ada)).post(f"/overtaken_use?by={by}").status_code == 400
        assert states() == {"ada": EndReason.PASSWORD_CHANGED}
        assert Session.objects.count() == 1

    def test_a_view_that_does_not_renew_it_ends_it(self, ada, browser, middleware):
        """As with Django, whose auth hash refuses it; here the list does not show it any longer either."""
        mine = signed_in(ada)
        assert browser(mine).post("/forgetful_change").status_code == 200
        assert states() == {"ada": EndReason.PASSWORD_CHANGED}

    def test_a_view_that_does_not_renew_it_ends_it_in_async_mode(self, ada):
        mine = signed_in(ada)
        client = AsyncClient()
        client.cookies["sessionid"] = mine
        assert async_to_sync(client.post)("/aforgetful_change").status_code == 200
        assert states() == {"ada": EndReason.PASSWORD_CHANGED}


class TestOthers:
    """A session is not spared because some code in the request has opened it."""

    @pytest.mark.parametrize("view", ["support_tool", "support_tool_that_acts"])
    def test_a_session_that_a_tool_has_looked_at_ends(self, ada, grace, browser, middleware, view):
        staff, theirs = signed_in(grace), signed_in(ada)
        answer = browser(staff).post(f"/{view}", {"key": theirs, "user": str(ada.pk)})
        assert answer.status_code == 200
        assert states() == {"grace": "", "ada": EndReason.PASSWORD_CHANGED}
        assert user_of(staff) == "grace"

    @pytest.mark.parametrize("flag", ["hijack_history", "loginas_from_user", "exit_users_pk"])
    def test_a_session_in_which_somebody_acts_as_the_user_ends(self, ada, grace, browser, flag):
        client = browser(signed_in(grace))
        client.post("/hijack", {"user": ada.pk, "flag": flag})
        assert user_of(client.cookies["sessionid"].value) == "ada"
        client.post("/forgetful_change")
        assert Session.objects.get(user=ada).end_reason == EndReason.PASSWORD_CHANGED

    def test_so_it_does_if_the_view_would_renew_it(self, ada, grace, browser):
        client = browser(signed_in(grace))
        client.post("/hijack", {"user": ada.pk, "flag": "hijack_history"})
        client.post("/cookie_change")
        assert user_of(client.cookies["sessionid"].value) == ""
        assert Session.objects.get(user=ada).end_reason == EndReason.PASSWORD_CHANGED

    def test_a_session_started_for_somebody_else_ends_for_it_is_of_the_old_password(
        self, ada, grace, browser, middleware
    ):
        answer = browser(signed_in(grace)).post("/sign_in_elsewhere", {"user": ada.pk})
        assert user_of(answer.content.decode()) == ""
        assert states() == {"grace": "", "ada": EndReason.PASSWORD_CHANGED}

    def test_a_row_that_was_opened_by_its_id_ends(self, ada, rf):
        token = signed_in(ada)
        request = rf.post("/", headers={"X-Session-Token": token})
        SessionMiddleware(lambda r: HttpResponse()).process_request(request)
        store = new_store()
        assert store.open_by_id(Session.objects.get().pk)
        change(ada)
        assert states() == {"ada": EndReason.PASSWORD_CHANGED}

    def test_the_token_of_another_request_is_none_of_this_one(self, ada, rf):
        mine, other = signed_in(ada), signed_in(ada)
        request = rf.post("/", headers={"X-Session-Token": mine})
        SessionMiddleware(lambda r: HttpResponse()).process_request(request)
        stores = [new_store(token) for token in (mine, other)]
        assert all(store["_auth_user_id"] for store in stores)
        change(ada)
        rows = Session.objects.in_bulk([digest(mine), digest(other)], field_name="token_digest")
        assert rows[digest(mine)].end_reason == ""
        assert rows[digest(other)].end_reason == EndReason.PASSWORD_CHANGED


@pytest.fixture
def rf():
    return RequestFactory()


class TestTestsWithoutAServer:
    """By ``RequestFactory``, as projects test their views."""

    @pytest.mark.parametrize("middleware", [SessionMiddleware, DjangoSessionMiddleware])
    def test_who_signs_in_and_changes_the_password_stays(self, ada, rf, middleware):
        request = rf.post("/")
        middleware(lambda r: HttpResponse()).process_request(request)
        request.session.save()
        login(request, ada, backend=BACKEND)
        cookie_change(request)
        request.session.save()
        assert user_of(request.session.session_key) == "ada"

    def test_a_cookie_is_enough_with_our_middleware(self, ada, rf):
        mine = signed_in(ada)
        rf.cookies["sessionid"] = mine
        request = rf.post("/")
        SessionMiddleware(lambda r: HttpResponse()).process_request(request)
        cookie_change(request)
        request.session.save()
        assert user_of(request.session.session_key) == "ada"

    def test_where_nobody_tells_the_end_the_hash_decides_at_the_next_use(self, ada, rf):
        rf.cookies["sessionid"] = mine = signed_in(ada)
        request = rf.post("/")
        SessionMiddleware(lambda r: HttpResponse()).process_request(request)
        forgetful_change(request)
        assert states() == {"ada": ""}
        assert user_of(mine) == ""
        assert states()["ada"] in {EndReason.PASSWORD_CHANGED, EndReason.SIGNED_OUT}


class TestAdopted:
    def scope(self, **headers: str) -> dict[str, Any]:
        pairs = [(name.encode(), value.encode()) for name, value in headers.items()]
        return {"type": "websocket", "headers": pairs, "client": ("192.0.2.7", 5000)}

    def test_a_consumer_keeps_its_session(self, ada):
        mine, other = signed_in(ada), signed_in(ada)

        async def consume() -> str:
            scope = self.scope(**{"user-agent": "Mozilla/5.0 (a socket)"})
            scope["session"] = store = new_store(mine)
            sessions.adopt(scope, store)
            request: Any = SimpleNamespace(session=store)
            user: Any = await sync_to_async(get_user)(request)
            request.user = user
            await sync_to_async(change)(user)
            fresh = await User.objects.aget(pk=user.pk)
            await sync_to_async(update_session_auth_hash)(request, fresh)
            await store.asave()
            return str(store.session_key)

        key = async_to_sync(consume)()
        assert (user_of(key), user_of(other)) == ("ada", "")

    def test_it_records_device_and_activity(self, ada, clock):
        mine = signed_in(ada)
        clock.advance(hours=1)
        store = new_store(mine)
        scope = self.scope(**{"user-agent": "Mozilla/5.0 (a socket)", "user_agent": "forged"})
        sessions.adopt(scope, store)
        assert store["_auth_user_id"] == str(ada.pk)
        store.touch()
        row = Session.objects.get()
        assert (row.ip_address, row.user_agent) == ("192.0.2.7", "Mozilla/5.0 (a socket)")
        assert row.last_seen_at == clock.now()

    def test_an_adopted_session_gets_no_cookie(self, ada, clock):
        """Its token came by a header, and would sign the browser in that sent it."""
        mine = signed_in(ada)

        def view(request: HttpRequest) -> HttpResponse:
            request.session = new_store(mine)
            sessions.adopt(request, request.session)
            request.session["n"] = 1
            return HttpResponse()

        clock.advance(days=3)
        response = SessionMiddleware(view)(HttpRequest())
        assert not response.cookies
        assert new_store(mine)["n"] == 1

    def test_that_of_the_cookie_keeps_it(self, ada, clock):
        request = HttpRequest()
        request.COOKIES["sessionid"] = mine = signed_in(ada)

        def view(request: HttpRequest) -> HttpResponse:
            request.session = new_store(mine)
            sessions.adopt(request, request.session)
            request.session["n"] = 1
            return HttpResponse()

        clock.advance(days=3)
        assert SessionMiddleware(view)(request).cookies["sessionid"].value == mine

    def test_a_store_of_another_engine_is_left_alone(self, rf):
        store = signed_cookies.SessionStore()
        sessions.adopt(rf.get("/"), store)
        assert not opened.stores()

    def test_it_does_not_keep_the_session_of_somebody_else(self, ada, grace, rf):
        store = new_store(signed_in(grace))
        assert store["_auth_user_id"] == str(grace.pk)
        theirs = signed_in(ada)
        sessions.adopt(rf.get("/"), store)
        change(ada)
        assert user_of(theirs) == ""
        assert states() == {"grace": "", "ada": EndReason.PASSWORD_CHANGED}


class TestContexts:
    """Threads of WSGI servers and of task queues run one request or task after another in one context."""

    def test_the_next_request_knows_nothing_of_the_last_one(self, ada, rf):
        kept = []

        def first() -> None:
            rf.cookies["sessionid"] = signed_in(ada)
            request = rf.post("/")
            SessionMiddleware(lambda r: HttpResponse()).process_request(request)
            kept.append(request)
            assert request.session["_auth_user_id"] == str(ada.pk)

        def second() -> None:
            request_started.send(sender=None, environ={})
            change(ada)

        context = Context()
        context.run(first)
        context.run(second)
        assert states() == {"ada": EndReason.PASSWORD_CHANGED}

    def test_the_end_of_a_request_forgets_its_sessions(self, ada, rf):
        request = rf.post("/", headers={"X-Session-Token": signed_in(ada)})
        request_started.send(sender=None, environ=request.META)
        store = new_store(request.META["HTTP_X_SESSION_TOKEN"])
        assert store["_auth_user_id"] == str(ada.pk)
        assert opened.stores() == [store]
        request_finished.send(sender=None)
        assert not opened.stores()

    def test_a_task_does_not_keep_the_session_of_the_task_before(self, ada):
        def first() -> None:
            assert signed_in_here(ada).session_key

        context = Context()
        context.run(first)
        context.run(change, ada)
        assert states() == {"ada": EndReason.PASSWORD_CHANGED}

    def test_one_that_a_task_has_leaked_opens_nothing_all_the_same(self, ada):
        leaked = []

        def first() -> None:
            leaked.append(signed_in_here(ada))

        context = Context()
        context.run(first)
        context.run(change, ada)
        assert user_of(leaked[0].session_key) == ""

    def test_a_thread_knows_nothing_of_the_request_that_started_it(self, ada, rf):
        rf.cookies["sessionid"] = signed_in(ada)
        request = rf.post("/")
        SessionMiddleware(lambda r: HttpResponse()).process_request(request)
        assert request.session["_auth_user_id"]
        found: list[Any] = []
        thread = Thread(target=lambda: found.extend(opened.stores()))
        thread.start()
        thread.join()
        assert not found
        assert copy_context().run(opened.stores) == [request.session]

    def test_a_task_that_starts_many_sessions_remembers_few(self, ada):
        stores = [signed_in_here(ada) for _ in range(opened.MAX_STORES + 3)]
        assert opened.stores() == stores[-opened.MAX_STORES :]

    def test_sessions_are_not_kept_alive(self, ada):
        signed_in_here(ada)
        assert not opened.stores()
