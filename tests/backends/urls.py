"""Views in both modes, for tests that count what a request costs."""

from typing import Any

from django.contrib.auth import alogin, alogout, login, logout
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.urls import path


def untouched(request: HttpRequest) -> HttpResponse:
    return HttpResponse("ok")


async def auntouched(request: HttpRequest) -> HttpResponse:
    return HttpResponse("ok")


def who(request: HttpRequest) -> HttpResponse:
    return HttpResponse(request.user.get_username())


async def awho(request: HttpRequest) -> HttpResponse:
    return HttpResponse((await request.auser()).get_username())


def read(request: HttpRequest) -> HttpResponse:
    return HttpResponse(request.session.get("key", ""))


async def aread(request: HttpRequest) -> HttpResponse:
    return HttpResponse(await request.session.aget("key", ""))


def write(request: HttpRequest) -> HttpResponse:
    request.session["key"] = request.GET["value"]
    return HttpResponse("ok")


async def awrite(request: HttpRequest) -> HttpResponse:
    await request.session.aset("key", request.GET["value"])
    return HttpResponse("ok")


def _alice() -> Any:
    return User.objects.get(username="alice")


def sign_in(request: HttpRequest) -> HttpResponse:
    login(request, _alice())
    return HttpResponse("ok")


async def asign_in(request: HttpRequest) -> HttpResponse:
    await alogin(request, await User.objects.aget(username="alice"))
    return HttpResponse("ok")


def sign_out(request: HttpRequest) -> HttpResponse:
    logout(request)
    return HttpResponse("ok")


async def asign_out(request: HttpRequest) -> HttpResponse:
    await alogout(request)
    return HttpResponse("ok")


urlpatterns = [
    path("sync/untouched", untouched),
    path("async/untouched", auntouched),
    path("sync/who", who),
    path("async/who", awho),
    path("sync/read", read),
    path("async/read", aread),
    path("sync/write", write),
    path("async/write", awrite),
    path("sync/sign-in", sign_in),
    path("async/sign-in", asign_in),
    path("sync/sign-out", sign_out),
    path("async/sign-out", asign_out),
]
