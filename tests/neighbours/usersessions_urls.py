"""The pages of allauth, beside a view that says who is signed in."""

from django.urls import include, path

from tests.site import who

urlpatterns = [
    path("accounts/", include("allauth.urls")),
    path("who", who),
]
