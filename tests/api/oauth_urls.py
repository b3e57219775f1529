"""The endpoints with introspection and revocation beside them."""

from django.urls import include, path

from tests.api.urls import urlpatterns as endpoints

urlpatterns = [
    *endpoints,
    path("oauth/", include("django_sessions_plus.api.oauth_urls")),
]
