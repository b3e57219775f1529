"""The views of the site after the switch, and those that begin and end sessions for the test."""

import json

from django.contrib.auth import get_user_model, login
from django.http import HttpRequest, JsonResponse
from django.urls import include, path
from django.views.decorators.csrf import csrf_exempt

from django_sessions_plus import sessions
from tests.switching.real.site.engines import current


@csrf_exempt
def revoke(request: HttpRequest) -> JsonResponse:
    """End each session of the users that are named, one by one."""
    users = get_user_model()._default_manager.filter(username__in=json.loads(request.body))
    rows = [row for user in users for row in sessions.list_for(user)]
    return JsonResponse({"ended": sum(sessions.revoke(row) for row in rows)})


@csrf_exempt
def sign_in(request: HttpRequest) -> JsonResponse:
    """Sign in the user who is named, and answer with the cookie."""
    user = get_user_model()._default_manager.get(username=json.loads(request.body)["user"])
    login(request, user)
    return JsonResponse(request.session.session_key, safe=False)


urlpatterns = [
    path("sign-in", sign_in),
    path("revoke", revoke),
    path("", include(current().urls)),
]
