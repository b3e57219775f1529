"""Signing everyone out from the admin: a page that asks for a word, and works in short requests.

Each request ends what it can in ``BUDGET`` seconds and hands a signed note of how far it came to
the next, which the page sends by itself, or by its button where scripts do not run. Each
batch is committed at once: whoever closes the page has ended what it says, and the rest stays.
"""

from __future__ import annotations

import uuid
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from time import monotonic
from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.contenttypes.models import ContentType
from django.core import signing
from django.core.exceptions import PermissionDenied
from django.db import router, transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils.translation import gettext, gettext_lazy, ngettext

from django_sessions_plus import sessions
from django_sessions_plus.admin.dashboard import COUNT_AT_MOST, at_least
from django_sessions_plus.admin.ending import EndSessionsMixin
from django_sessions_plus.admin.filters import StateFilter
from django_sessions_plus.admin.listing import count_up_to

CONSENT = "everyone"
# Seconds. Servers give up on a request after about thirty.
BUDGET = 3.0

_SALT = "django_sessions_plus.admin.everyone"
# Seconds for which a note is good.
_NOTE_AGE = 3600


class SignEveryoneOutForm(forms.Form):
    """The word that is to be typed."""

    # Translators: the word “everyone” stays as it is.
    consent = forms.CharField(label=gettext_lazy("Type “everyone” to go on"))

    def clean_consent(self) -> str:
        """Refuse any other word."""
        word: str = self.cleaned_data["consent"]
        if word != CONSENT:
            raise forms.ValidationError(gettext("Nothing was ended: that is another word."))
        return word


@dataclass(frozen=True)
class Note:
    """How far the work has come. Ids name sessions and open none."""

    user: str
    """Whose work it is."""
    first: str
    """The oldest session there was to end."""
    next: str
    """The oldest that is still to be ended."""
    last: str
    """The newest session there was when it began: who signs in later stays."""
    ended: int = 0

    def percent(self) -> int:
        """Return how far that is on the way from the oldest session to the newest, in time."""
        first, here, last = (uuid.UUID(key).int >> 80 for key in (self.first, self.next, self.last))
        return 100 if last <= first else int((here - first) / (last - first) * 100)


class SignEveryoneOutMixin(EndSessionsMixin):
    """What an admin of sessions needs to sign everyone out."""

    everyone_template = "admin/django_sessions_plus/everyone.html"

    def has_everyone_permission(self, request: HttpRequest) -> bool:
        """Tell whether this person may sign everyone out: superusers alone."""
        return bool(getattr(request.user, "is_superuser", False)) and request.user.is_active

    def get_urls(self) -> list[URLPattern]:
        """Add the page."""
        # With ATOMIC_REQUESTS, too, a batch is committed at once, and holds no locks for seconds.
        in_pieces = transaction.non_atomic_requests(router.db_for_write(self.model))
        view = in_pieces(self.admin_site.admin_view(self.everyone_view))
        return [path("everyone/", view, name=self.url_name("everyone")), *super().get_urls()]

    def everyone_view(self, request: HttpRequest) -> HttpResponse:
        """Ask for a word, and by POST end sessions until the time is over; then by POST go on."""
        if not self.has_everyone_permission(request):
            raise PermissionDenied
        if request.method != "POST":
            return self._everyone_page(request, form=SignEveryoneOutForm())
        if "note" in request.POST:
            note = _read(request.POST["note"], request)
            return (
                HttpResponseRedirect(self.url("everyone"))
                if note is None
                else self._go_on(request, note)
            )
        form = SignEveryoneOutForm(request.POST)
        if not form.is_valid():
            return self._everyone_page(request, form=form)
        note = _begin(self._of_others(request), request)
        return self._done(request, 0) if note is None else self._go_on(request, note)

    def _go_on(self, request: HttpRequest, note: Note) -> HttpResponse:
        rows = self._of_others(request).filter(pk__gte=note.next, pk__lte=note.last)
        ended = _end_for_a_while(rows, request.user)
        self._log(request, ended)
        note = replace(note, ended=note.ended + ended)
        oldest = rows.order_by("pk").values_list("pk", flat=True).first()
        if oldest is None:
            return self._done(request, note.ended)
        note = replace(note, next=str(oldest))
        signed = signing.dumps(asdict(note), salt=_SALT)
        return self._everyone_page(request, note=note, signed=signed)

    def _of_others(self, request: HttpRequest) -> Any:
        # Ending the session that asks would stop the work. The primary knows what has ended.
        rows = StateFilter.active(self.model._default_manager.for_writing())
        current = sessions.resolve(request)
        return rows if current is None else rows.exclude(pk=current.pk)

    def _done(self, request: HttpRequest, ended: int) -> HttpResponse:
        text = ngettext(
            "%(count)d session was ended. Yours is the one that is left.",
            "%(count)d sessions were ended. Yours is the one that is left.",
            ended,
        )
        messages.success(request, text % {"count": ended})
        return HttpResponseRedirect(self.url("changelist"))

    def _log(self, request: HttpRequest, ended: int) -> None:
        actor: Any = request.user
        LogEntry.objects.create(
            user_id=actor.pk,
            content_type=ContentType.objects.get_for_model(self.model),
            object_repr=str(self.opts.verbose_name_plural),
            action_flag=CHANGE,
            change_message=f"Signed everyone out: ended {ended}.",
        )

    def _everyone_page(self, request: HttpRequest, **shown: Any) -> HttpResponse:
        context = {
            **self.admin_site.each_context(request),
            "title": gettext("Sign everyone out"),
            "opts": self.opts,
            "media": self.media,
            "back": self.url("changelist"),
            "consent": CONSENT,
            **shown,
        }
        if "note" not in shown:
            found = count_up_to(self._of_others(request))
            context["found"] = found
            context["shown"] = at_least(found, found > COUNT_AT_MOST)
        request.current_app = self.admin_site.name
        return TemplateResponse(request, self.everyone_template, context)


class _TimeIsOverError(Exception):
    pass


def _end_for_a_while(rows: Any, actor: Any) -> int:
    began, ended = monotonic(), 0

    def progress(count: int) -> None:
        nonlocal ended
        ended = count
        if monotonic() - began >= BUDGET:
            raise _TimeIsOverError

    with suppress(_TimeIsOverError):
        ended = sessions.revoke_many(rows, actor=actor, progress=progress)
    return ended


def _begin(rows: Any, request: HttpRequest) -> Note | None:
    keys = rows.values_list("pk", flat=True)
    first, last = keys.order_by("pk").first(), keys.order_by("-pk").first()
    if first is None or last is None:
        return None
    return Note(str(request.user.pk), str(first), str(first), str(last))


def _read(text: str, request: HttpRequest) -> Note | None:
    """Return a note that this person was given in the last hour; None for any other."""
    try:
        note = Note(**signing.loads(text, salt=_SALT, max_age=_NOTE_AGE))
    except signing.BadSignature:
        return None
    return note if note.user == str(request.user.pk) else None
