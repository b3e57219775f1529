"""The pages: sign in, see this session, change the password. That of the devices is the package's own."""

from typing import Any

from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.contrib.auth.views import LoginView, PasswordChangeView
from django.contrib.messages.views import SuccessMessageMixin
from django.contrib.staticfiles import finders
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse_lazy
from django.utils.decorators import method_decorator
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import ensure_csrf_cookie
from django.views.decorators.http import require_GET

from django_sessions_plus import sessions
from example_project.forms import SignInForm

TRANSPORTS = [("cookie", "Cookie"), ("bearer", "Bearer"), ("jwt", "JWT")]
COUNTED_PAGES = {"home": "Session", "password": "Password"}


class SignInView(LoginView):
    """Sign in."""

    template_name = "example_project/sign_in.html"
    authentication_form = SignInForm

    def form_valid(self, form: Any) -> HttpResponse:
        """Sign in; Django and the package do the rest."""
        response = super().form_valid(form)
        self.request.session.remember = form.cleaned_data["remember"]  # type: ignore[attr-defined]
        return response


@require_GET
@never_cache
@login_required
def home(request: HttpRequest) -> HttpResponse:
    """Show the session this request came with."""
    count_visit(request, "home")
    return render(
        request,
        "example_project/home.html",
        {
            "session": sessions.resolve(request),
            "visits": visits(request),
            "is_mail_in_terminal": getattr(settings, "MAIL_IS_IN_TERMINAL", False),
        },
    )


@require_GET
@ensure_csrf_cookie
def api(request: HttpRequest) -> HttpResponse:
    """Show the API, to be tried out, also by who is not signed in: that is what sign-in is for."""
    return render(request, "example_project/api.html")


@require_GET
@never_cache
def client(request: HttpRequest) -> HttpResponse:
    """Show what the browser client does, by the transport that is asked for."""
    asked = request.GET.get("transport")
    transport = asked if asked in dict(TRANSPORTS) else "cookie"
    context = {"transport": transport, "transports": TRANSPORTS}
    return render(request, "example_project/client.html", context)


@require_GET
@never_cache
def client_react(request: HttpRequest) -> HttpResponse:
    """Show the same with React, where it has been installed."""
    has_react = finders.find("example_project/vendor/react.js") is not None
    return render(request, "example_project/client_react.html", {"has_react": has_react})


@method_decorator(never_cache, name="dispatch")
class ChangePasswordView(SuccessMessageMixin, PasswordChangeView):  # type: ignore[type-arg]
    """Change the password. That it ends the other sessions is the package's doing."""

    template_name = "example_project/password.html"
    success_url = reverse_lazy("django_sessions_plus:devices")
    success_message = "Your password is changed. All your other devices are signed out."

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Show the form."""
        count_visit(request, "password")
        return super().get(request, *args, **kwargs)


def count_visit(request: HttpRequest, page: str) -> None:
    """Count a visit of ``page`` in the session.

    Each page has a key of its own, so that tabs that load different pages at the same
    moment all count: parallel changes of different keys are merged. Two changes of the
    same key are not; the later one stands, as in any session.
    """
    key = f"visits:{page}"
    request.session[key] = request.session.get(key, 0) + 1


def visits(request: HttpRequest) -> list[tuple[str, str, int]]:
    """Return for each page its address name, its title and how often this session saw it."""
    return [
        (page, title, request.session.get(f"visits:{page}", 0))
        for page, title in COUNTED_PAGES.items()
    ]
