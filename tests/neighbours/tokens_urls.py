"""The views of the packages as they are, and those of a project that show who is signed in."""

from __future__ import annotations

from typing import Any

from django.contrib.auth import login, update_session_auth_hash
from django.contrib.auth.models import User
from django.db import models
from django.urls import include, path
from knox import views as knox_views
from knox.auth import TokenAuthentication as PlainKnox
from rest_framework import authentication
from rest_framework.authtoken.models import Token
from rest_framework.authtoken.views import obtain_auth_token
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from django_sessions_plus.api.authentication import (
    CookieAuthentication,
    SessionTokenAuthentication,
)
from django_sessions_plus.contrib import authtoken, knox
from django_sessions_plus.models import Session


class ApiToken(Token):
    """A proxy model, as Django's admin may need one for tokens."""

    class Meta:
        proxy = True
        app_label = "authtoken"


class Device(models.Model):
    """What is no user of the site, and signs in by a token of its own."""

    is_active = is_authenticated = True

    class Meta:
        app_label = "custom"

    def get_username(self) -> str:
        return "a device"


class DeviceToken(models.Model):
    key = models.CharField(max_length=40, primary_key=True)
    user = models.ForeignKey(Device, on_delete=models.CASCADE)
    created = models.DateTimeField(auto_now_add=True)

    class Meta:
        app_label = "custom"


class ProxyAuthentication(authtoken.TokenAuthentication):
    model = ApiToken


class DeviceAuthentication(authtoken.TokenAuthentication):
    model = DeviceToken


class Who(APIView):
    permission_classes = ()

    def get(self, request: Request) -> Response:
        auth = request.auth
        return Response(
            {
                "user": request.user.get_username(),
                "session": str(auth.pk) if isinstance(auth, Session) else None,
                "is_its_session": getattr(getattr(request._request, "session", None), "row", None)
                is auth,
            }
        )


class Act(APIView):
    """What a view of a project may do with the session and the user."""

    permission_classes = ()

    def post(self, request: Request, what: str) -> Response:
        acts: dict[str, Any] = {
            "cycle": request.session.cycle_key,
            "flush": request.session.flush,
            "sign-in": lambda: login(request._request, _user_of(request)),
            "sign-in-bob": lambda: login(request._request, User.objects.get(username="bob")),
            "take-over": lambda: _take_over(request),
            "delete": lambda: _delete(request.user, "auth_token"),
            "delete-auth": lambda: _delete(request, "auth"),
            "write": lambda: request.session.update({"basket": 1}),
            "write-and-fail": lambda: _write_and_fail(request),
            "password": lambda: _set_password(request),
        }
        acts[what]()
        return Response({"user": request.user.get_username()})


def _user_of(request: Request) -> Any:
    return request.user


def _delete(holder: Any, name: str) -> None:
    getattr(holder, name).delete()


def _take_over(request: Request) -> None:
    request.session.clear()
    login(request._request, User.objects.get(username="bob"))


def _write_and_fail(request: Request) -> None:
    request.session["basket"] = 1
    raise ValidationError("wrong")


def _set_password(request: Request) -> None:
    user: Any = request.user
    user.set_password("another")
    user.save()
    update_session_auth_hash(request._request, user)


CLASSES: dict[str, Any] = {
    "authtoken": [authtoken.TokenAuthentication],
    "proxy": [ProxyAuthentication],
    "device": [DeviceAuthentication],
    "knox": [knox.TokenAuthentication],
    "plain-authtoken": [authentication.TokenAuthentication],
    "plain-knox": [PlainKnox],
    "ours": [SessionTokenAuthentication, CookieAuthentication],
}

urlpatterns = [
    path("login/", obtain_auth_token),
    path("djoser/", include("djoser.urls.authtoken")),
    path("knox/logout/", knox_views.LogoutView.as_view()),
    path("knox/logoutall/", knox_views.LogoutAllView.as_view()),
    path("auth/", include("django_sessions_plus.api.urls")),
    *(
        path(f"{name}/who", Who.as_view(authentication_classes=classes))
        for name, classes in CLASSES.items()
    ),
    *(
        path(f"{name}/act/<what>", Act.as_view(authentication_classes=classes))
        for name, classes in CLASSES.items()
    ),
]
