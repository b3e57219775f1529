"""The site's addresses: its own few pages, the package's page of devices and its API, the admin."""

from django.contrib import admin
from django.contrib.auth.views import LogoutView
from django.urls import include, path
from django.views.i18n import set_language
from drf_spectacular.views import SpectacularAPIView

from example_project import views

urlpatterns = [
    path("", views.home, name="home"),
    path("sign-in/", views.SignInView.as_view(), name="sign-in"),
    path("sign-out/", LogoutView.as_view(), name="sign-out"),
    path("devices/", include("django_sessions_plus.urls")),
    path("password/", views.ChangePasswordView.as_view(), name="password"),
    path("auth/schema", SpectacularAPIView.as_view(), name="schema"),
    path("auth/", include("django_sessions_plus.api.urls")),
    path("oauth/", include("django_sessions_plus.api.oauth_urls")),  # optional; for other services
    path("api/", views.api, name="api"),
    path("client/", views.client, name="client"),
    path("client/react/", views.client_react, name="client-react"),
    path("language/", set_language, name="set-language"),
    path("admin/", admin.site.urls),
]
