"""The URLs of the devices page, for ``path("account/devices/", include("django_sessions_plus.urls"))``."""

from django.urls import path

from django_sessions_plus.pages import password, views

app_name = "django_sessions_plus"

urlpatterns = [
    path("", views.DevicesView.as_view(), name="devices"),
    path("<uuid:pk>/end/", views.EndSessionView.as_view(), name="end-session"),
    path("end-others/", views.EndOthersView.as_view(), name="end-others"),
    path("sign-out/", views.SignOutView.as_view(), name="sign-out"),
    path("confirm-password/", password.ConfirmPasswordView.as_view(), name="confirm-password"),
]
