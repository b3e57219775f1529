"""AccessTokenAuthentication: whom a token lets in, for how long, and what the rest of the request has of it."""

from datetime import timedelta
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import AnonymousUser, User
from django.db import connections
from django.test import AsyncClient
from django.utils import timezone
from rest_framework.request import Request
from rest_framework.test import APIRequestFactory

from django_sessions_plus import sessions
from django_sessions_plus.api.authentication import AccessTokenAuthentication
from django_sessions_plus.jwt import access
from django_sessions_plus.models import Session
from tests.api.conftest import PASSWORD, ApiClient, code
from tests.jwt.forging import parts, signed

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.api.urls")]

CHALLENGE = 'Bearer realm="api", error="invalid_token", error_description='
EXPIRED = CHALLENGE + '"The access token expired"'
ENDED = CHALLENGE + '"The token is malformed, or its session has ended"'


def issued(*, ago=timedelta(0), row=None):
    """Return an access token of the session, issued some time ago."""
    return access.issue(row or Session.objects.get(), now=timezone.now() - ago).token


@pytest.mark.db_engine
def test_a_token_opens_views_at_one_query(service, django_assert_num_queries):
    for address in ("/mine", "session"):
        with django_assert_num_queries(1):
            answer = service.send("get", address)
        assert answer.status_code == 200
        assert answer["Vary"].split(", ").count("Authorization") == 1
        assert not answer.cookies


def test_the_row_is_what_request_auth_is(service):
    answer = service.send("get", "/mine")
    assert answer.json() == {"user": "ada", "session": str(Session.objects.get().pk)}


def test_every_endpoint_takes_it(service, ada, make_session):
    other = make_session(ada)
    mine = service.send("get", "session").json()["session"]
    listed = service.send("get", "sessions").json()["results"]
    assert {entry["id"]: entry["is_current"] for entry in listed} == {
        mine["id"]: True,
        str(other.pk): False,
    }
    assert service.send("delete", f"sessions/{other.pk}").status_code == 204
    make_session(ada)
    assert service.send("post", "sessions/revoke", {"scope": "others"}).json() == {"revoked": 1}
    assert service.send("get", "session").json()["session"]["id"] == mine["id"]
    assert service.send("delete", f"sessions/{mine['id']}").status_code == 204
    assert code(service.send("get", "session")) == "session_ended"


def test_a_view_keeps_data_in_the_session_without_csrf(service):
    assert [service.send("post", "/mine").json()["visits"] for _ in range(3)] == [1, 2, 3]
    assert Session.objects.get().get_decoded()["visits"] == 3


def test_the_session_slides_with_use(service):
    old = timezone.now() - timedelta(days=2)
    Session.objects.update(last_seen_at=old, updated_at=old, expires_at=old + timedelta(days=14))
    service.send("get", "/mine", REMOTE_ADDR="192.0.2.9", headers={"User-Agent": "Service/2"})
    row = Session.objects.get()
    assert row.updated_at > old
    assert row.last_seen_at > old
    assert (row.ip_address, row.user_agent) == ("192.0.2.9", "Service/2")


END = {
    "ended": lambda: Session.objects.all().end(reason="revoked"),
    "expired": lambda: Session.objects.update(expires_at=timezone.now()),
    "too old": lambda: Session.objects.update(
        authenticated_at=timezone.now() - timedelta(days=31),
        expires_at=timezone.now() + timedelta(days=1),
    ),
    "deleted": lambda: Session.objects.all().delete(),
    "anonymous": lambda: Session.objects.update(user=None, session_data="{}"),
    "user deleted": lambda: User.objects.all()._raw_delete("default"),
    "user inactive": lambda: User.objects.update(is_active=False),
    "password changed": lambda: User.objects.update(password="!another"),
}


@pytest.mark.parametrize("how", END)
@pytest.mark.parametrize("address", ["session", "sessions", "/mine", "/open/access"])
def test_a_token_whose_session_is_over_is_refused_all_alike(service, how, address):
    END[how]()
    seen = Session.objects.values_list("last_seen_at", flat=True).first()
    count = Session.objects.count()
    answer = service.send("get", address)
    assert answer.status_code == 401
    assert answer.json()["code"] == "session_ended"
    assert answer["WWW-Authenticate"] == ENDED
    assert not answer.cookies
    assert Session.objects.count() == count
    assert Session.objects.values_list("last_seen_at", flat=True).first() == seen


def test_a_backend_that_is_no_longer_configured_signs_nobody_in(service, settings):
    settings.AUTHENTICATION_BACKENDS = ["tests.api.test_sign_in.InsistentBackend"]
    assert code(service.send("get", "session")) == "session_ended"


def test_the_session_of_another_user_is_not_opened(service, eve):
    """Whoever is signed in on the row now: the token says who it was."""
    Session.objects.update(user=eve)
    answer = service.send("get", "session")
    assert (answer.status_code, code(answer)) == (401, "session_ended")
    client = ApiClient()
    client.sign_in("eve", transport="bearer")
    row = Session.objects.latest("pk")
    # Signed by us, and each half of it true.
    header, claims, _ = parts(service.token)
    client.token = signed(header, {**claims, "sid": str(row.pk)})
    assert code(client.send("get", "session")) == "session_ended"
    row.refresh_from_db()
    assert row.ended_at is None


@pytest.mark.parametrize("address", ["session", "/mine", "/open/access"])
def test_an_expired_token_is_told_apart_and_costs_no_query(
    service, address, django_assert_num_queries
):
    service.token = issued(ago=timedelta(hours=1))
    with django_assert_num_queries(0):
        answer = service.send("get", address)
    assert answer.status_code == 401
    assert answer.json()["code"] == "token_expired"
    assert answer["WWW-Authenticate"] == EXPIRED
    assert answer["Vary"].split(", ").count("Authorization") == 1


def test_an_expired_token_does_not_sign_out(service):
    service.token = issued(ago=timedelta(hours=1))
    assert code(service.send("post", "sign-out")) == "token_expired"
    assert Session.objects.get().ended_at is None


def test_clocks_may_differ_by_the_leeway_and_no_more(service, settings, monkeypatch):
    monkeypatch.setattr(access, "JITTER", 0)
    settings.SESSIONS_PLUS_JWT_ACCESS_AGE = timedelta(minutes=2)

    def answer_to(**seconds):
        service.token = issued(ago=timedelta(**seconds))
        return service.send("get", "session")

    assert answer_to(seconds=175).status_code == 200
    assert code(answer_to(seconds=185)) == "token_expired"
    assert answer_to(seconds=-55).status_code == 200
    assert code(answer_to(seconds=-65)) == "invalid_token"


def test_who_has_authenticated_again_leaves_nothing_to_earlier_tokens(service):
    Session.objects.update(authenticated_at=timezone.now() - timedelta(minutes=5))
    earlier = issued()
    service.token = earlier
    assert service.send("get", "session").status_code == 200
    service.take(service.send("post", "reauthenticate", {"password": PASSWORD}))
    assert service.send("get", "session").status_code == 200
    service.token = earlier
    for address in ("session", "/sensitive"):
        answer = service.send("get", address)
        assert (answer.status_code, answer.json()["code"]) == (401, "token_expired")
        assert answer["WWW-Authenticate"] == EXPIRED


def test_a_password_changed_in_the_session_leaves_nothing_to_earlier_tokens(service):
    earlier, refresh_token = service.token, service.refresh_token
    pair = service.send("post", "/password?pair=1").json()
    answer = service.send("get", "session")
    assert (answer.status_code, code(answer)) == (401, "token_expired")
    assert code(service.refresh(refresh_token)) == "invalid_token"
    assert Session.objects.get().is_active()
    service.token = pair["access"]
    assert service.send("get", "session").status_code == 200
    assert service.refresh(pair["refresh"]).status_code == 200
    service.token = earlier
    assert code(service.send("get", "session")) == "token_expired"


def test_a_password_changed_by_a_view_that_hands_out_no_tokens_ends_the_session(service):
    """Nobody could use it any more, and it would stay in the list."""
    assert service.send("post", "/password").status_code == 200
    assert code(service.send("get", "session")) == "session_ended"
    assert not Session.objects.active().exists()


def test_a_view_that_saves_can_hand_out_tokens_of_the_new_password(service):
    answer = service.send("post", "/password?pair=1")
    service.token = answer.json()["access"]
    assert service.send("get", "session").status_code == 200
    assert service.take(service.refresh(answer.json()["refresh"])).status_code == 200
    assert service.send("get", "session").status_code == 200


# Beside the other transports


@pytest.mark.parametrize("address", ["session", "/mine"])
def test_it_comes_before_the_cookie(by_cookie, eve, address):
    by_cookie.take(ApiClient().sign_in("eve", transport="jwt"))
    body = by_cookie.send("get", address).json()
    assert body["user"] in ("eve", {"id": eve.pk, "username": "eve", "email": eve.email})
    by_cookie.token = None
    assert by_cookie.get("/plain").json() == {"user": "ada"}


@pytest.mark.parametrize("save_every_request", [False, True])
@pytest.mark.parametrize("address", ["session", "sessions", "/mine", "/open/access"])
@pytest.mark.parametrize("token", ["a.b.c", "..", "expired", "x" * 32, "neither", ""])
def test_a_bad_token_never_falls_back_to_the_cookie(
    by_cookie, settings, save_every_request, address, token
):
    settings.SESSION_SAVE_EVERY_REQUEST = save_every_request
    by_cookie.token = issued(ago=timedelta(hours=1)) if token == "expired" else token
    answer = by_cookie.send("get", address)
    assert answer.status_code == 401
    assert not answer.cookies
    assert answer.wsgi_request.session.is_empty()
    by_cookie.token = None
    assert by_cookie.get("/plain").json() == {"user": "ada"}


def test_a_session_token_is_none_where_only_access_tokens_are_known(by_cookie, app):
    by_cookie.token = app.token
    answer = by_cookie.send("get", "/open/access")
    assert (answer.status_code, answer.json()["code"]) == (401, "invalid_token")
    assert answer["WWW-Authenticate"] == ENDED
    assert app.send("get", "session").status_code == 200


def test_an_access_token_is_none_where_only_session_tokens_are_known(by_cookie, service):
    by_cookie.token = service.token
    answer = by_cookie.send("get", "/open/session")
    assert (answer.status_code, answer.json()["code"]) == (401, "invalid_token")
    assert answer["WWW-Authenticate"] == ENDED
    assert service.send("get", "session").status_code == 200


@pytest.mark.parametrize("token", ["x" * 32, "y" * 40])
def test_what_somebody_elses_class_may_know_is_left_to_it(client, token):
    client.token = token
    expected = {"user": "foreign", "empty": True}
    assert client.send("get", "/open/others").json() == expected


def test_called_by_hand_it_leaves_what_it_does_not_know(db):
    for token, expected in (("x" * 32, None), (None, None)):
        header = {"Authorization": f"Bearer {token}"} if token else {}
        request = Request(APIRequestFactory().get("/", headers=header))
        assert AccessTokenAuthentication().authenticate(request) is expected


def test_tokens_in_the_address_or_the_body_are_not_read(service):
    """RFC 6750 sections 2.2 and 2.3: they would end up in logs."""
    client = ApiClient()
    answer = client.get("/auth/sessions", {"access_token": service.token, "token": service.token})
    assert code(answer) == "not_authenticated"
    body = {"access_token": service.token, "access": service.token, "scope": "all"}
    assert code(client.send("post", "sessions/revoke", body)) == "not_authenticated"
    client.cookies["access_token"] = service.token
    assert code(client.send("get", "sessions")) == "not_authenticated"
    assert Session.objects.active().count() == 1


def test_the_header_twice_is_no_credential(service):
    both = f"Bearer {service.token},Bearer {service.token}"
    answer = ApiClient().get("/auth/session", headers={"Authorization": both})
    assert (answer.status_code, code(answer)) == (401, "invalid_token")


def test_it_works_in_async_mode(ada, service):
    client = AsyncClient()
    get, post = async_to_sync(client.get), async_to_sync(client.post)
    headers = {"Authorization": f"Bearer {service.token}"}
    assert get("/mine", headers=headers).json()["user"] == "ada"
    answer = post("/auth/sessions/revoke", {"scope": "all"}, "application/json", headers=headers)
    assert answer.json() == {"revoked": 1}
    assert get("/auth/session", headers=headers).json()["code"] == "session_ended"
    assert sessions.current() is None


# The rest of the request


SEEN: list[set[Any]] = []


def after(get_response):
    """A middleware that remembers whom the request stands for once the view has run."""

    def middleware(request):
        assert request.user.is_authenticated == async_to_sync(request.auser)().is_authenticated
        response = get_response(request)
        SEEN.append({request.user, async_to_sync(request.auser)()})
        return response

    return middleware


def test_whoever_the_token_stands_for_is_the_user_in_both_modes(service, ada, eve, settings):
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, f"{__name__}.after"]
    client = ApiClient()
    client.sign_in("eve")
    SEEN.clear()
    client.token = service.token
    for address in ("session", "/mine", "/open/access"):
        assert client.send("get", address).status_code == 200
        assert SEEN.pop() == {ada}
    client.token = "a.b.c"
    client.send("get", "session")
    assert SEEN.pop() == {AnonymousUser()}


def test_revoking_all_makes_the_rest_of_the_request_anonymous(service, settings):
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, f"{__name__}.after"]
    client = ApiClient()
    client.token = service.token
    SEEN.clear()
    assert client.send("post", "sessions/revoke", {"scope": "all"}).json() == {"revoked": 1}
    assert SEEN.pop() == {AnonymousUser()}


def test_an_end_that_a_rollback_undid_is_done_again(transactional_db, service, monkeypatch):
    """A changed password ends the session as it is loaded: in the view's transaction, which fails."""
    monkeypatch.setitem(connections["default"].settings_dict, "ATOMIC_REQUESTS", True)
    User.objects.update(password="!another")
    assert service.send("get", "/mine").status_code == 401
    assert Session.objects.get().ended_at is not None
