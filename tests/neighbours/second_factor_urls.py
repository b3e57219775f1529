"""The endpoints beside allauth's pages."""

from django.urls import include, path

urlpatterns = [
    path("accounts/", include("allauth.urls")),
    path("account/devices/", include("django_sessions_plus.urls")),
    path("auth/", include("django_sessions_plus.api.urls")),
]
