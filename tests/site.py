"""The views the middleware, receivers and verbs are tested through."""

from typing import Any, cast

from django.contrib.auth import get_user_model, login, logout, update_session_auth_hash
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path

from django_sessions_plus import sessions
from django_sessions_plus.decorators import fresh_session_required, no_activity

User = get_user_model()


def who(request: HttpRequest) -> HttpResponse:
    return HttpResponse(request.user.get_username())


async def awho(request: HttpRequest) -> HttpResponse:
    return HttpResponse((await request.auser()).get_username())


def untouched(request: HttpRequest) -> HttpResponse:
    return HttpResponse("nothing read")


async def auntouched(request: HttpRequest) -> HttpResponse:
    return HttpResponse("nothing read")


def count(request: HttpRequest) -> HttpResponse:
    request.session["n"] = request.session.get("n", 0) + 1
    return HttpResponse(str(request.session["n"]))


async def acount(request: HttpRequest) -> HttpResponse:
    await request.session.aset("n", await request.session.aget("n", 0) + 1)
    return HttpResponse(str(await request.session.aget("n")))


def sign_in(request: HttpRequest) -> HttpResponse:
    login(request, User.objects.get(username=request.POST["user"]))
    if "forget" in request.POST:
        cast(Any, request.session).remember = False
    return who(request)


def sign_out(request: HttpRequest) -> HttpResponse:
    logout(request)
    return HttpResponse()


def password(request: HttpRequest) -> HttpResponse:
    user: Any = User.objects.get(pk=cast(Any, request.POST.get("of", request.user.pk)))
    user.set_password(request.POST["new"])
    user.save()
    if user == request.user:
        update_session_auth_hash(request, user)
    return HttpResponse()


def vanish(request: HttpRequest) -> HttpResponse:
    cast(Any, request.user).delete()
    return who(request)


def error(request: HttpRequest, status: int) -> HttpResponse:
    request.session["n"] = "from a failed request"
    return HttpResponse(status=status)


def end_all(request: HttpRequest) -> HttpResponse:
    ended = sessions.revoke_all(request.user)
    return JsonResponse({"ended": ended, "user": request.user.get_username()})


async def aend_all(request: HttpRequest) -> HttpResponse:
    user = await request.auser()
    ended = await sessions.arevoke_all(user)
    return JsonResponse({"ended": ended, "user": (await request.auser()).get_username()})


def end_and_write(request: HttpRequest) -> HttpResponse:
    sessions.revoke_all(request.user)
    request.session["message"] = "You are signed out."
    return HttpResponse()


@no_activity
def poll(request: HttpRequest) -> HttpResponse:
    return who(request)


@no_activity
async def apoll(request: HttpRequest) -> HttpResponse:
    return await awho(request)


@fresh_session_required
def sensitive(request: HttpRequest) -> HttpResponse:
    return who(request)


@fresh_session_required
async def asensitive(request: HttpRequest) -> HttpResponse:
    return await awho(request)


urlpatterns = [
    path("who", who),
    path("awho", awho),
    path("untouched", untouched),
    path("auntouched", auntouched),
    path("count", count),
    path("acount", acount),
    path("sign-in", sign_in),
    path("sign-out", sign_out),
    path("password", password),
    path("vanish", vanish),
    path("error/<int:status>", error),
    path("end-all", end_all),
    path("aend-all", aend_all),
    path("end-and-write", end_and_write),
    path("poll", poll),
    path("apoll", apoll),
    path("sensitive", sensitive),
    path("asensitive", asensitive),
]
