"""A view or package puts another session in the place of the request's: Django's own middleware says what follows."""

from collections.abc import Callable
from typing import Any

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.contrib.auth import get_user_model, login
from django.contrib.sessions.backends import signed_cookies
from django.contrib.sessions.middleware import SessionMiddleware as DjangoSessionMiddleware
from django.http import HttpRequest, HttpResponse
from django.test import override_settings

from django_sessions_plus.backends import cached_db
from django_sessions_plus.backends.configured import new_store
from django_sessions_plus.middleware import SessionMiddleware
from django_sessions_plus.models import Session
from django_sessions_plus.tokens import digest, make_token

User = get_user_model()
pytestmark = pytest.mark.django_db

Replace = Callable[[HttpRequest], None]
COOKIE = "sessionid"


def stored(**data: Any) -> str:
    """Return the token of a stored session."""
    store = new_store()
    store.update(data)
    store.save()
    return str(store.session_key)


def asked(token: str | None = None) -> HttpRequest:
    """Return a request of a browser, with the cookie it has."""
    request = HttpRequest()
    request.method = "GET"
    request.META |= {"REMOTE_ADDR": "192.0.2.7", "HTTP_USER_AGENT": "Mozilla/5.0 (a browser)"}
    if token is not None:
        request.COOKIES[COOKIE] = token
    return request


@pytest.fixture(params=["sync", "async"])
def answer(request: pytest.FixtureRequest) -> Callable[..., HttpResponse]:
    """Serve a request whose view replaces its session; in both modes."""

    def serve(
        replace: Replace,
        http_request: HttpRequest,
        status: int = 200,
        middleware: type[DjangoSessionMiddleware] = SessionMiddleware,
    ) -> HttpResponse:
        def view(got: HttpRequest) -> HttpResponse:
            replace(got)
            return HttpResponse(status=status)

        async def aview(got: HttpRequest) -> HttpResponse:
            # What a package does to the session is the same synchronous code.
            await sync_to_async(replace)(got)
            return HttpResponse(status=status)

        if request.param == "sync":
            return middleware(view)(http_request)  # type: ignore[return-value]
        return async_to_sync(middleware(aview))(http_request)  # type: ignore[arg-type,return-value]

    return serve


def unmodified(request: HttpRequest) -> None:
    request.session = new_store(stored(n=2))


def only_read(request: HttpRequest) -> None:
    request.session = new_store(stored(n=2))
    assert request.session["n"] == 2


def marked_modified(request: HttpRequest) -> None:
    request.session = new_store(stored(n=2))
    request.session.modified = True


def written(request: HttpRequest) -> None:
    request.session = new_store(stored(n=2))
    request.session["n"] = 3


def new_with_data(request: HttpRequest) -> None:
    request.session = new_store()
    request.session["n"] = 3


def saved_by_the_view(request: HttpRequest) -> None:
    request.session = new_store()
    request.session["n"] = 3
    request.session.save()


def empty(request: HttpRequest) -> None:
    request.session = new_store()


def flushed(request: HttpRequest) -> None:
    request.session = new_store(stored(n=2))
    request.session.flush()


def unknown_and_read(request: HttpRequest) -> None:
    request.session = new_store(make_token())
    request.session.get("n")


def same_token_again(request: HttpRequest) -> None:
    request.session = new_store(request.COOKIES.get(COOKIE))
    request.session["n"] = 3


def another_engine_of_ours(request: HttpRequest) -> None:
    request.session = cached_db.SessionStore(stored(n=2))
    request.session["n"] = 3


def foreign(request: HttpRequest) -> None:
    request.session = signed_cookies.SessionStore()
    request.session["n"] = 3


def foreign_unmodified(request: HttpRequest) -> None:
    request.session = signed_cookies.SessionStore()
    request.session["n"] = 3
    request.session.save()
    request.session = signed_cookies.SessionStore(request.session.session_key)
    assert request.session["n"] == 3


def foreign_empty(request: HttpRequest) -> None:
    request.session = signed_cookies.SessionStore()


def none(request: HttpRequest) -> None:
    request.session = None  # type: ignore[assignment]


def deleted(request: HttpRequest) -> None:
    del request.session


ALL = [
    unmodified,
    only_read,
    marked_modified,
    written,
    new_with_data,
    saved_by_the_view,
    empty,
    flushed,
    unknown_and_read,
    same_token_again,
    another_engine_of_ours,
    foreign,
    foreign_unmodified,
    foreign_empty,
    none,
    deleted,
]


# What each of these changes, it changes for any replacement; all of them together are for the
# thorough run.
CIRCUMSTANCES = [
    pytest.param(every, cookie, status, marks=[] if differ <= 1 else [pytest.mark.thorough])
    for every in (False, True)
    for cookie in ("stored", "none")
    for status in (200, 500)
    for differ in [every + (cookie == "none") + (status == 500)]
]


@pytest.mark.parametrize(("every", "cookie", "status"), CIRCUMSTANCES)
@pytest.mark.parametrize("replace", ALL, ids=lambda each: each.__name__)
def test_the_answer_is_the_one_of_djangos_middleware(
    answer: Callable[..., HttpResponse],
    replace: Replace,
    every: bool,
    cookie: str,
    status: int,
) -> None:
    """Which cookie is set or deleted, what it opens, and what the answer varies on."""
    seen = []
    for middleware in (DjangoSessionMiddleware, SessionMiddleware):
        token = stored(n=1) if cookie == "stored" else None
        request = asked(token)
        with override_settings(SESSION_SAVE_EVERY_REQUEST=every):
            response = answer(replace, request, status, middleware=middleware)
        seen.append(_seen(response, request, token))
    stock, ours = seen
    if stock == ("set", "own", 3, "Cookie") and not every:
        # The browser has it already, with the same expiry.
        assert (stock, ours) == (("set", "own", 3, "Cookie"), (None, None, None, "Cookie"))
        return
    assert ours == stock


def _seen(response: HttpResponse, request: HttpRequest, token: str | None) -> tuple[Any, ...]:
    vary = response.get("Vary")
    cookie = response.cookies.get(COOKIE)
    if cookie is None:
        return (None, None, None, vary)
    if not cookie.value:
        return ("deleted", None, None, vary)
    session = getattr(request, "session", None)
    assert session is not None
    assert cookie.value == session.session_key
    return ("set", "own" if cookie.value == token else "other", session.get("n"), vary)


def test_a_session_that_is_only_marked_as_modified_gets_its_cookie(answer: Any) -> None:
    other = stored(n=2)

    def replace(request: HttpRequest) -> None:
        request.session = new_store(other)
        request.session.modified = True

    response = answer(replace, asked(stored(n=1)))
    assert response.cookies[COOKIE].value == other
    assert response.cookies[COOKIE]["max-age"] > 0


def test_a_session_that_is_only_read_is_not_given_away_when_its_expiry_is_due(
    answer: Any, clock: Any
) -> None:
    """To hand out somebody's token because a view looked at that session would sign this browser in to it."""
    mine, theirs = stored(n=1), stored(n=2)
    before = Session.objects.get(token_digest=digest(theirs)).expires_at
    clock.advance(days=3)

    def replace(request: HttpRequest) -> None:
        request.session = new_store(theirs)
        assert request.session["n"] == 2

    response = answer(replace, asked(mine))
    assert COOKIE not in response.cookies
    # To look at a session is not to use it.
    assert Session.objects.get(token_digest=digest(theirs)).expires_at == before


def test_a_new_session_records_from_where_it_was_started(answer: Any) -> None:
    answer(new_with_data, asked())
    row = Session.objects.get()
    assert (row.ip_address, row.user_agent) == ("192.0.2.7", "Mozilla/5.0 (a browser)")


def test_a_sign_in_in_a_new_store_reaches_the_browser(answer: Any) -> None:
    ada = User.objects.create_user("ada")
    before = stored(n=1)

    def replace(request: HttpRequest) -> None:
        request.session = new_store()
        login(request, ada, backend="django.contrib.auth.backends.ModelBackend")

    response = answer(replace, asked(before))
    row = Session.objects.get(user=ada)
    assert row.token_digest == digest(response.cookies[COOKIE].value)


def test_an_unknown_token_marked_as_modified_makes_no_row(answer: Any) -> None:
    """Django makes a new, empty session of it, which would be of no use to anybody."""

    def replace(request: HttpRequest) -> None:
        request.session = new_store(make_token())
        request.session.modified = True

    response = answer(replace, asked(stored(n=1)))
    assert (response.status_code, response.cookies[COOKIE].value) == (200, "")
    assert Session.objects.count() == 1
