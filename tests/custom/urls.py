"""The views that the tests of bad input, secrets and custom models go through."""

from typing import Any

from django.contrib.auth import aget_user, alogin, alogout, get_user_model, login, logout
from django.http import HttpRequest, HttpResponse
from django.urls import include, path


def untouched(request: HttpRequest) -> HttpResponse:
    return HttpResponse("untouched")


async def auntouched(request: HttpRequest) -> HttpResponse:
    return HttpResponse("untouched")


def who(request: HttpRequest) -> HttpResponse:
    return HttpResponse(request.user.get_username() or "nobody")


async def awho(request: HttpRequest) -> HttpResponse:
    return HttpResponse((await request.auser()).get_username() or "nobody")


def put(request: HttpRequest) -> HttpResponse:
    request.session.update(request.GET.dict())
    return HttpResponse("put")


async def aput(request: HttpRequest) -> HttpResponse:
    await request.session.aupdate(request.GET.dict())
    return HttpResponse("put")


def sign_in(request: HttpRequest) -> HttpResponse:
    login(request, get_user_model().objects.get(email=request.GET["email"]))
    return HttpResponse("signed in")


async def asign_in(request: HttpRequest) -> HttpResponse:
    await alogin(request, await get_user_model().objects.aget(email=request.GET["email"]))
    return HttpResponse("signed in")


def sign_out(request: HttpRequest) -> HttpResponse:
    logout(request)
    return HttpResponse("signed out")


async def asign_out(request: HttpRequest) -> HttpResponse:
    await alogout(request)
    return HttpResponse("signed out")


def rotate(request: HttpRequest) -> HttpResponse:
    request.session.cycle_key()
    return HttpResponse("rotated")


def fail(request: HttpRequest) -> HttpResponse:
    """Fail with the session and its store among the locals, as a view of a project may."""
    session: Any = request.session
    data = dict(session.items())
    row = session.row
    raise RuntimeError(f"the view failed: {session!r} {data!r} {row!r} {request!r}")


async def afail(request: HttpRequest) -> HttpResponse:
    """See fail()."""
    user = await aget_user(request)
    session: Any = request.session
    row = session.row
    raise RuntimeError(f"the view failed: {session!r} {user!r} {row!r} {request!r}")


VIEWS = (
    *(untouched, auntouched, who, awho, put, aput),
    *(sign_in, asign_in, sign_out, asign_out, rotate, fail, afail),
)
urlpatterns = [
    *(path(view.__name__, view) for view in VIEWS),
    path("auth/", include("django_sessions_plus.api.urls")),
]
