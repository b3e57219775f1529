"""The views of django-hijack beside those of the tests."""

from django.urls import include, path

from tests import site

urlpatterns = [path("hijack/", include("hijack.urls")), *site.urlpatterns]
