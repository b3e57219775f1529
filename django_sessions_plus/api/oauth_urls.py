"""Introspection and revocation, for ``path("oauth/", include("django_sessions_plus.api.oauth_urls"))``."""

from django.urls import path

from django_sessions_plus.api import oauth

app_name = "django_sessions_plus_oauth"

urlpatterns = [
    path("introspect", oauth.IntrospectView.as_view(), name="introspect"),
    path("revoke", oauth.RevokeTokenView.as_view(), name="revoke"),
]
