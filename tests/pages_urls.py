"""The package's pages in their own frame, beside the views of the tests' site."""

from django.urls import include, path

from tests import site

urlpatterns = [
    path("account/devices/", include("django_sessions_plus.urls")),
    path("accounts/login/", site.who),
    *site.urlpatterns,
]
