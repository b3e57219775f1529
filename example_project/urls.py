"""The site's addresses: its own few pages, the package's API, the admin."""

from django.contrib import admin
from django.contrib.auth.views import LogoutView
from django.urls import include, path

from example_project import views

urlpatterns = [
    path("", views.home, name="home"),
    path("sign-in/", views.SignInView.as_view(), name="sign-in"),
    path("sign-out/", LogoutView.as_view(), name="sign-out"),
    path("devices/", views.devices, name="devices"),
    path("devices/end-others/", views.end_others, name="end-others"),
    path("devices/<uuid:pk>/end/", views.end_device, name="end-device"),
    path("password/", views.ChangePasswordView.as_view(), name="password"),
    path("auth/", include("django_sessions_plus.api.urls")),
    path("admin/", admin.site.urls),
]
