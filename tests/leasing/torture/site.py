"""The only page: who is signed in."""

from django.http import HttpRequest, HttpResponse
from django.urls import path

NOBODY = "-"


def who(request: HttpRequest) -> HttpResponse:
    return HttpResponse(str(request.user.pk) if request.user.is_authenticated else NOBODY)


urlpatterns = [path("", who)]
