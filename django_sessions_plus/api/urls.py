"""The endpoints' addresses, for ``path("auth/", include("django_sessions_plus.api.urls"))``."""

from django.urls import path

from django_sessions_plus.api import token_views, views
from django_sessions_plus.api.pairs import APP_NAME

app_name = APP_NAME

urlpatterns = [
    path("session", views.SessionView.as_view(), name="session"),
    path("sign-in", views.SignInView.as_view(), name="sign-in"),
    path("sign-out", views.SignOutView.as_view(), name="sign-out"),
    path("sessions", views.SessionListView.as_view(), name="sessions"),
    # Before the id, which takes any text so that every wrong one gets the same 404.
    path("sessions/revoke", views.RevokeView.as_view(), name="revoke"),
    path("sessions/<str:id>", views.SessionDetailView.as_view(), name="session-detail"),
    path("reauthenticate", views.ReauthenticateView.as_view(), name="reauthenticate"),
    path("token/refresh", token_views.RefreshView.as_view(), name="token-refresh"),
    path(".well-known/jwks.json", token_views.JwksView.as_view(), name="jwks"),
]
