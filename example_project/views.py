"""The pages: sign in, see this session, see and end the others, change the password."""

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.contrib.auth.views import LoginView, PasswordChangeView
from django.contrib.messages.views import SuccessMessageMixin
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse_lazy
from django.utils.decorators import method_decorator
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST

from django_sessions_plus import sessions
from django_sessions_plus.decorators import fresh_session_required
from example_project.forms import SignInForm

COUNTED_PAGES = {"home": "Session", "devices": "Devices", "password": "Password"}


class SignInView(LoginView):
    """Sign in, or authenticate again: fresh_session_required sends people here too."""

    template_name = "example_project/sign_in.html"
    authentication_form = SignInForm

    def get_initial(self) -> dict[str, Any]:
        """Offer to whom is signed in what was chosen before."""
        initial = super().get_initial()
        if self.request.user.is_authenticated:
            initial["username"] = self.request.user.get_username()
            initial["remember"] = self.request.session.remember  # type: ignore[attr-defined]
        return initial

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
        {"session": sessions.resolve(request), "visits": visits(request)},
    )


@require_GET
@never_cache
@login_required
def devices(request: HttpRequest) -> HttpResponse:
    """List where the person is signed in, this device first."""
    count_visit(request, "devices")
    current = sessions.resolve(request)
    listed = sorted(sessions.list_for(request.user), key=lambda session: session != current)
    return render(request, "example_project/devices.html", {"sessions": listed, "current": current})


@require_POST
@login_required
@fresh_session_required
def end_device(request: HttpRequest, pk: UUID) -> HttpResponse:
    """End one session of the person who asks; somebody else's is as unknown as one that never was."""
    own = sessions.session_model().objects.for_user(request.user)
    session = get_object_or_404(own, pk=pk)
    name = session.device.label or "The device"
    if sessions.revoke(session, actor=request.user):
        messages.success(request, f"{name} is signed out.")
    else:
        messages.info(request, f"{name} was signed out already.")
    return redirect("devices")


@require_POST
@login_required
@fresh_session_required
def end_others(request: HttpRequest) -> HttpResponse:
    """End all sessions of the person but this one."""
    keep = sessions.resolve(request)
    ended = sessions.revoke_others(request.user, keep=keep, actor=request.user)
    if ended:
        devices = "1 other device is" if ended == 1 else f"{ended} other devices are"
        messages.success(request, f"{devices} signed out.")
    else:
        messages.info(request, "There was no other device to sign out.")
    return redirect("devices")


@method_decorator(never_cache, name="dispatch")
class ChangePasswordView(SuccessMessageMixin, PasswordChangeView):  # type: ignore[type-arg]
    """Change the password. That it ends the other sessions is the package's doing."""

    template_name = "example_project/password.html"
    success_url = reverse_lazy("devices")
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
