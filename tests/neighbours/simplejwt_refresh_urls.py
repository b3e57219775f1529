"""The refresh alone, at the address that simplejwt's own had, and the view."""

from django.urls import path

from django_sessions_plus.api.token_views import RefreshView
from tests.neighbours.simplejwt_urls import Who

urlpatterns = [path("api/token/refresh/", RefreshView.as_view()), path("who", Who.as_view())]
