"""The addresses of a site whose apps have tokens of simplejwt."""

from django.urls import path
from rest_framework_simplejwt.views import (
    TokenBlacklistView,
    TokenObtainPairView,
    TokenRefreshView,
)

from tests.switching.real.site.api_views import Who

urlpatterns = [
    path("token", TokenObtainPairView.as_view()),
    path("token/refresh", TokenRefreshView.as_view()),
    path("token/revoke", TokenBlacklistView.as_view()),
    path("who", Who.as_view()),
]
