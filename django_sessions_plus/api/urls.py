"""The URLs of the endpoints, for ``path("auth/", include("django_sessions_plus.api.urls"))``.

No setting is read here: an endpoint that the project has switched off answers 404.
"""

from django.urls import path

from django_sessions_plus.api import token_views, views
from django_sessions_plus.api.pairs import APP_NAME

app_name = APP_NAME

urlpatterns = [
    path("session", views.SessionView.as_view(), name="session"),
    path("sign-in", views.SignInView.as_view(), name="sign-in"),
    path("sign-out", views.SignOutView.as_view(), name="sign-out"),
    path("sessions", views.SessionListView.as_view(), name="sessions"),
    # Before the id, which matches any text, so that every invalid id gets the same 404.
    path("sessions/revoke", views.RevokeView.as_view(), name="revoke"),
    path("sessions/<str:id>", views.SessionDetailView.as_view(), name="session-detail"),
    path("reauthenticate", views.ReauthenticateView.as_view(), name="reauthenticate"),
    path("token", token_views.TokenView.as_view(), name="token"),
    path("token/refresh", token_views.RefreshView.as_view(), name="token-refresh"),
    path(".well-known/jwks.json", token_views.JwksView.as_view(), name="jwks"),
]
