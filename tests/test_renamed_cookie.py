"""SESSION_COOKIE_NAME changes: sessions under the earlier names go on, and move to the present one."""

from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth import get_user_model, login
from django.http import HttpRequest, HttpResponse
from django.test import override_settings

from django_sessions_plus import sessions
from django_sessions_plus.backends.configured import new_store
from django_sessions_plus.checks.cookies import check_host_prefix
from django_sessions_plus.checks.values import check_values
from django_sessions_plus.middleware import SessionMiddleware
from django_sessions_plus.models import Session
from django_sessions_plus.tokens import make_token

User = get_user_model()
pytestmark = pytest.mark.django_db

NEW, OLD, OLDER = "__Host-session", "sessionid", "sid"


@pytest.fixture(autouse=True)
def _renamed(settings):
    settings.SESSION_COOKIE_NAME = NEW
    settings.SESSION_COOKIE_SECURE = True
    settings.SESSIONS_PLUS_FALLBACK_COOKIE_NAMES = [OLD, OLDER]


def stored(**data: Any) -> str:
    store = new_store()
    store.update(data or {"n": 1})
    store.save()
    return str(store.session_key)


@pytest.fixture(params=["sync", "async"])
def get(request):
    def get(read: bool = True, status: int = 200, **cookies: str) -> HttpResponse:
        http_request = HttpRequest()
        http_request.COOKIES.update({name.replace("host", NEW): c for name, c in cookies.items()})

        def view(got: HttpRequest) -> HttpResponse:
            return HttpResponse(str(got.session.get("n", "")) if read else "", status=status)

        async def aview(got: HttpRequest) -> HttpResponse:
            return HttpResponse(str(await got.session.aget("n", "")) if read else "", status=status)

        if request.param == "sync":
            return SessionMiddleware(view)(http_request)  # type: ignore[return-value]
        return async_to_sync(SessionMiddleware(aview))(http_request)  # type: ignore[arg-type,return-value]

    return get


@pytest.mark.parametrize("name", [OLD, OLDER])
def test_a_session_goes_on_under_the_present_name(get, name):
    token = stored()
    response = get(**{name: token})
    assert response.content == b"1"
    cookie = response.cookies[NEW]
    assert (cookie.value, cookie["secure"], cookie["path"]) == (token, True, "/")
    assert cookie["max-age"] > 0
    assert (response.cookies[name].value, response.cookies[name]["max-age"]) == ("", 0)
    assert "Cookie" in response["Vary"]


def test_the_next_request_has_nothing_left_to_move(get):
    assert not get(host=stored()).cookies


def test_the_present_name_comes_first(get):
    response = get(host=stored(n=2), sessionid=stored(n=1))
    assert (response.content, len(response.cookies)) == (b"2", 0)


def test_so_does_it_if_it_opens_nothing(get):
    """Who planted or kept an older cookie must not come to bear when the present one is over."""
    assert get(host=make_token(), sessionid=stored()).content == b""


def test_the_earlier_names_are_tried_in_their_order(get):
    assert get(sid=stored(n=2), sessionid=stored(n=1)).content == b"1"


def test_a_session_that_is_over_takes_the_earlier_cookie_along(get):
    user = User.objects.create_user("ada")
    store = sessions.start(user)
    sessions.revoke(store.row)
    response = get(sessionid=str(store.session_key))
    assert response.cookies[OLD].value == ""


def test_a_token_that_nobody_knows_is_left_alone(get):
    assert not get(sessionid=make_token()).cookies


def test_an_unread_session_and_a_failed_response_move_nothing(get):
    token = stored()
    assert not get(read=False, sessionid=token).cookies
    assert not get(status=500, sessionid=token).cookies


def test_signing_in_moves_as_well(get):
    user = User.objects.create_user("ada")
    request = HttpRequest()
    request.COOKIES[OLD] = before = stored()

    def view(got: HttpRequest) -> HttpResponse:
        login(got, user, backend="django.contrib.auth.backends.ModelBackend")
        return HttpResponse()

    response: Any = SessionMiddleware(view)(request)
    assert response.cookies[NEW].value not in ("", before)
    assert response.cookies[OLD].value == ""
    assert Session.objects.count() == 1


def test_without_the_setting_an_earlier_name_is_nobodys(get, settings):
    settings.SESSIONS_PLUS_FALLBACK_COOKIE_NAMES = []
    response = get(sessionid=stored())
    assert (response.content, len(response.cookies)) == (b"", 0)


@pytest.mark.parametrize("value", ["sessionid", ["a name"], [1], None])
def test_what_can_be_no_list_of_names_is_an_error(value):
    with override_settings(SESSIONS_PLUS_FALLBACK_COOKIE_NAMES=value):
        assert any("FALLBACK_COOKIE_NAMES" in message.msg for message in check_values())


def test_with_the_present_cookie_those_of_earlier_names_go_too(get):
    """Or one that another host of the domain has planted would sign the browser in after a sign-out."""
    response = get(host="malformed", sessionid=stored(n=2))
    assert {name: cookie["max-age"] for name, cookie in response.cookies.items()} == {
        NEW: 0,
        OLD: 0,
    }


def test_who_is_advised_to_rename_the_cookie_is_told_how_nobody_is_signed_out():
    with override_settings(SESSION_COOKIE_NAME="sessionid"):
        (message,) = check_host_prefix()
    assert "SESSIONS_PLUS_FALLBACK_COOKIE_NAMES" in str(message.hint)
