"""The example site's addresses, and a page that browsers may keep for the way back."""

from django.http import HttpRequest, HttpResponse
from django.urls import path

from example_project.urls import urlpatterns as example_urlpatterns


def plain(request: HttpRequest) -> HttpResponse:
    """Return a page that says nothing of who looks at it, and nothing of caches."""
    return HttpResponse("<!doctype html><html lang=en><title>Plain</title><h1>Plain</h1>")


urlpatterns = [path("plain/", plain), *example_urlpatterns]
