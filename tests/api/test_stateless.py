"""Access tokens without a query: who is let in, as whom, and for how long after the end."""

import copy
import pickle
from datetime import timedelta
from uuid import uuid4

import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.utils import timezone
from rest_framework.permissions import DjangoModelPermissions, IsAdminUser

from django_sessions_plus.api.authentication import (
    AccessTokenAuthentication,
    StatelessAccessTokenAuthentication,
)
from django_sessions_plus.api.token_user import TokenUser
from django_sessions_plus.exceptions import StaleSessionError
from django_sessions_plus.jwt import access
from django_sessions_plus.jwt.access import Claims
from django_sessions_plus.models import Session
from tests.api.conftest import code

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.api.urls")]


def user_with(**claims):
    everything = {"sub": "7", "sid": "s", "type": "access", "exp": 1, **claims}
    return TokenUser(Claims(everything["sub"], uuid4(), everything))


def test_it_costs_no_query(service, ada, django_assert_num_queries):
    with django_assert_num_queries(0):
        answer = service.send("get", "/stateless")
    expected = {"pk": ada.pk, "email": ada.email, "session": str(Session.objects.get().pk)}
    assert answer.json() == expected | {"same": True}
    assert "Authorization" in answer["Vary"]
    assert not answer.cookies


@pytest.mark.parametrize("save_every_request", [False, True])
def test_the_session_stays_empty_whatever_a_view_writes(
    service, settings, django_assert_num_queries, save_every_request
):
    settings.SESSION_SAVE_EVERY_REQUEST = save_every_request
    seen = Session.objects.get()
    with django_assert_num_queries(0):
        answer = service.send("post", "/stateless")
    assert answer.json() == {"visits": 1}
    assert not answer.cookies
    store = answer.wsgi_request.session
    assert store.row is None
    for save in (store.save, store.create, store.cycle_key):
        with pytest.raises(StaleSessionError):
            save()
    store.flush()
    row = Session.objects.get()
    assert (row.last_seen_at, row.ended_at, row.session_data) == (
        seen.last_seen_at,
        None,
        seen.session_data,
    )


def test_it_is_believed_until_it_expires_although_the_session_has_ended(service, monkeypatch):
    monkeypatch.setattr(access, "JITTER", 0)
    Session.objects.all().end(reason="revoked")
    User.objects.all()._raw_delete("default")
    assert service.send("get", "/stateless").status_code == 200
    assert service.send("get", "/mine").status_code == 401
    now = timezone.now()
    row = Session(user_id=1, authenticated_at=now, expires_at=now + timedelta(days=1))
    for ago, status in ((timedelta(minutes=15, seconds=5), 200), (timedelta(minutes=16), 401)):
        service.token = access.issue(row, user=User(pk=1, email="x"), now=now - ago).token
        answer = service.send("get", "/stateless")
        assert answer.status_code == status
    assert answer.json()["code"] == "token_expired"
    assert answer["WWW-Authenticate"].endswith('error_description="The access token expired"')


@pytest.mark.parametrize("token", ["a.b.c", "x" * 32, "odd", ""])
def test_what_is_no_access_token_is_refused_and_no_cookie_read(by_cookie, token):
    by_cookie.token = token
    answer = by_cookie.send("get", "/stateless")
    assert (answer.status_code, answer.json()["code"]) == (401, "invalid_token")


def test_nobody_is_fresh(service):
    answer = service.send("get", "/stateless/sensitive")
    assert (answer.status_code, answer.json()["code"]) == (403, "reauthentication_required")


def test_a_projects_own_class_may_say_so_too(service, monkeypatch, django_assert_num_queries):
    assert issubclass(StatelessAccessTokenAuthentication, AccessTokenAuthentication)
    assert (AccessTokenAuthentication.stateless, StatelessAccessTokenAuthentication.stateless) == (
        False,
        True,
    )
    monkeypatch.setattr(AccessTokenAuthentication, "stateless", True)
    with django_assert_num_queries(0):
        assert code(service.send("get", "sessions")) == "permission_denied"


# The user


def test_the_user_is_somebody_with_what_the_token_says():
    user = user_with(email="ada@example.com", role="editor", id=7, username="ada")
    assert (user.pk, user.id) == (7, 7)
    assert (user.is_authenticated, user.is_anonymous, user.is_active) == (True, False, True)
    assert (user.email, user.role, user.username) == ("ada@example.com", "editor", "ada")
    assert (user.get_username(), str(user)) == ("ada", "ada")
    assert (user_with().get_username(), str(user_with())) == ("", "7")


def test_what_the_token_does_not_say_is_no_attribute():
    user = user_with()
    for name in ("email", "save", "delete", "_meta", "password", "session_id"):
        with pytest.raises(AttributeError, match=name):
            getattr(user, name)


def test_claims_of_the_package_are_no_attributes():
    user = user_with(exp=5, jti="x", auth_time=3)
    for name in ("sub", "sid", "type", "exp", "jti", "auth_time"):
        assert not hasattr(user, name)


def test_the_token_cannot_say_otherwise_what_is_true_of_every_user():
    user = user_with(
        is_authenticated=False, is_anonymous=True, is_active=False, pk=1, id=1, has_perm=True
    )
    assert (user.is_authenticated, user.is_anonymous, user.is_active) == (True, False, True)
    assert (user.pk, user.id) == (7, 7)
    assert user.has_perm("auth.add_user") is False


@pytest.mark.parametrize("value", [True, False, None, "true", 1])
def test_staff_is_who_a_claim_says_is_and_nobody_else(rf, value):
    user = user_with(is_staff=value, is_superuser=value)
    assert (user.is_staff, user.is_superuser) == (value is True, value is True)
    request = rf.get("/")
    request.user = user
    assert IsAdminUser().has_permission(request, None) is (value is True)
    assert user_with().is_staff is False


def test_permissions_are_in_the_database_and_not_known(rf):
    user = user_with()
    assert user.has_perm("auth.add_user") is False
    assert user.has_perms(["auth.add_user"]) is False
    assert user.has_perms([]) is True
    assert user.has_module_perms("auth") is False
    request = rf.post("/")
    request.user = user

    class View:
        queryset = User.objects.none()

    assert DjangoModelPermissions().has_permission(request, View()) is False


def test_users_are_equal_by_their_keys(ada):
    user = user_with(sub=str(ada.pk))
    assert user == ada
    assert ada == user
    assert user == user_with(sub=str(ada.pk), email="other")
    assert len({user, ada}) == 1
    assert user != user_with(sub=str(ada.pk + 1))
    assert user not in (AnonymousUser(), ada.pk, str(ada.pk), None)


def test_a_key_that_is_none_of_this_project_stays_a_text():
    assert user_with(sub="no number").pk == "no number"


def test_a_user_can_be_copied_and_tells_no_token():
    user = user_with(email="ada@example.com")
    for again in (copy.copy(user), copy.deepcopy(user), pickle.loads(pickle.dumps(user))):
        assert (again, again.email) == (user, "ada@example.com")
    assert repr(user) == "<TokenUser: 7>"
