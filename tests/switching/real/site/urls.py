"""The views of the site. They are the same before and after the switch."""

import json

from django.contrib.auth import authenticate, login
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path

KEPT = ("basket", "note", "visits")
"""What the site stores in a session."""


def sign_in(request: HttpRequest) -> HttpResponse:
    """Sign in by the password."""
    user = authenticate(request, username=request.POST["user"], password=request.POST["password"])
    if user is None:
        return HttpResponse(status=403)
    login(request, user)
    if "expiry" in request.POST:
        request.session.set_expiry(int(request.POST["expiry"]))
    return HttpResponse()


def store(request: HttpRequest) -> HttpResponse:
    """Store data in the session, of a user or of nobody."""
    request.session.update(json.loads(request.body))
    return HttpResponse()


def who(request: HttpRequest) -> JsonResponse:
    """Answer who is signed in, and what the site has stored."""
    data = {name: request.session[name] for name in KEPT if name in request.session}
    return JsonResponse({"user": request.user.get_username(), "data": data})


urlpatterns = [
    path("sign-in", sign_in),
    path("store", store),
    path("who", who),
]
