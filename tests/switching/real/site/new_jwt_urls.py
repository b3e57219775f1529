"""The addresses of that site after the switch: our refresh takes the old address."""

import json

from django.contrib.auth import get_user_model
from django.http import HttpRequest, JsonResponse
from django.urls import include, path
from django.views.decorators.csrf import csrf_exempt

from django_sessions_plus import sessions
from django_sessions_plus.api.token_views import RefreshView


@csrf_exempt
def sign_in(request: HttpRequest) -> JsonResponse:
    """Start a session for the user who is named, and answer with its refresh token."""
    user = get_user_model()._default_manager.get(username=json.loads(request.body)["user"])
    row = sessions.start(user, transport="jwt").row
    assert row is not None
    return JsonResponse(sessions.issue_tokens(row).refresh, safe=False)


urlpatterns = [
    path("sign-in", sign_in),
    path("token/refresh", RefreshView.as_view()),
    path("", include("tests.switching.real.site.new_urls")),
]
