"""Sign everyone out from the admin: the page asks for a word, and ends the sessions in short requests.

Each request ends sessions for ``BUDGET`` seconds and returns a signed note of its progress, which
the next request sends: the page does that by script, or the user by a button. Each batch is
committed at once: if the page is closed, the sessions it reported have ended, and the rest stays.
"""

from __future__ import annotations

import uuid
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from math import ceil
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
from django.utils import timezone
from django.utils.translation import gettext, gettext_lazy, ngettext

from django_sessions_plus import sessions
from django_sessions_plus.admin import results, superusers
from django_sessions_plus.admin.dashboard import at_least
from django_sessions_plus.admin.ending import EndSessionsMixin
from django_sessions_plus.admin.filters import StateFilter
from django_sessions_plus.admin.forms import focus_first_error
from django_sessions_plus.admin.listing import count_in_time
from django_sessions_plus.backends import importing
from django_sessions_plus.backends.configured import invalidation_delay

CONSENT = "everyone"
# Seconds. Servers give up on a request after about thirty.
BUDGET = 3.0

_SALT = "django_sessions_plus.admin.everyone"
# Seconds for which a note is valid.
_NOTE_AGE = 3600


class SignEveryoneOutForm(forms.Form):
    """The form for the word that has to be typed."""

    # Translators: the word “everyone” stays as it is.
    consent = forms.CharField(label=gettext_lazy("Type “everyone” to go on"))

    def clean_consent(self) -> str:
        """Return the word.

        Raises:
            ValidationError: it is another word.
        """
        word: str = self.cleaned_data["consent"]
        if word != CONSENT:
            raise forms.ValidationError(
                gettext("Nothing was ended: the word you entered is not right.")
            )
        return word


@dataclass(frozen=True)
class Note:
    """The progress of the work. It may contain ids, because nobody can use a session by its id."""

    user: str
    """The user who does it."""
    first: str
    """The oldest session that was to be ended."""
    next: str
    """The oldest that is still to be ended."""
    last: str
    """The newest session when the work began: later sign-ins stay."""
    ended: int = 0
    settled_at: float = 0.0
    """When every process will refuse the ended sessions, in seconds since 1970; in the past if all do."""

    def with_ended(self, count: int) -> Note:
        """Return the note after ``count`` more were ended by this process."""
        within, settled_at = invalidation_delay(), self.settled_at
        if count and within is not None:
            settled_at = max(settled_at, timezone.now().timestamp() + within)
        return replace(self, ended=self.ended + count, settled_at=settled_at)

    def invalidation_delay(self) -> int:
        """Return for how many seconds other processes may accept the ended sessions; 0 if none does."""
        return max(0, ceil(self.settled_at - timezone.now().timestamp()))

    def percent(self) -> int:
        """Return the progress from the oldest session to the newest, by the time they started."""
        first, here, last = (uuid.UUID(key).int >> 80 for key in (self.first, self.next, self.last))
        return 100 if last <= first else int((here - first) / (last - first) * 100)


class SignEveryoneOutMixin(EndSessionsMixin):
    """Adds to an admin of sessions the page that signs everyone out."""

    everyone_template = "admin/django_sessions_plus/everyone.html"

    def has_everyone_permission(self, request: HttpRequest) -> bool:
        """Return whether the request's user may sign everyone out: only superusers."""
        return bool(getattr(request.user, "is_superuser", False)) and request.user.is_active

    def get_urls(self) -> list[URLPattern]:
        """Add the page."""
        # With ATOMIC_REQUESTS, all batches of a request would be one transaction, and hold locks for seconds.
        in_pieces = transaction.non_atomic_requests(router.db_for_write(self.model))
        view = in_pieces(self.admin_site.admin_view(self.everyone_view))
        return [path("everyone/", view, name=self.url_name("everyone")), *super().get_urls()]

    def everyone_view(self, request: HttpRequest) -> HttpResponse:
        """Ask for a word; by POST, end sessions for ``BUDGET`` seconds, and continue with the next POST.

        Raises:
            PermissionDenied: the request's user may not sign everyone out.
        """
        if not self.has_everyone_permission(request):
            raise PermissionDenied
        if request.method != "POST":
            return self._everyone_page(request, form=SignEveryoneOutForm())
        if "note" in request.POST:
            note = _read(request.POST["note"], request)
            return (
                HttpResponseRedirect(self.url("everyone"))
                if note is None
                else self._continue(request, note)
            )
        form = SignEveryoneOutForm(request.POST)
        if not form.is_valid():
            focus_first_error(form)
            return self._everyone_page(request, form=form)
        rows = self._other_sessions(request)
        # Also those that were not imported yet from another engine.
        importing.forbid_earlier([None], rows, sessions.revoke_many)
        note = _begin(rows, request)
        return self._done(request) if note is None else self._continue(request, note)

    def _continue(self, request: HttpRequest, note: Note) -> HttpResponse:
        rows = self._other_sessions(request).filter(pk__gte=note.next, pk__lte=note.last)
        ended = _end_for_a_while(rows, request.user)
        self._log(request, ended)
        note = note.with_ended(ended)
        oldest = rows.order_by("pk").values_list("pk", flat=True).first()
        if oldest is None:
            return self._done(request, note)
        note = replace(note, next=str(oldest))
        signed = signing.dumps(asdict(note), salt=_SALT)
        return self._everyone_page(request, note=note, signed=signed)

    def _other_sessions(self, request: HttpRequest) -> Any:
        # Without the session of this request: ending it would stop the work. From the primary, because
        # a replica may not know yet which sessions have ended.
        active = StateFilter.active(self.model._default_manager.for_writing())
        rows = superusers.without_protected(request.user, active)
        current = sessions.resolve(request)
        return rows if current is None else rows.exclude(pk=current.pk)

    def _done(self, request: HttpRequest, note: Note | None = None) -> HttpResponse:
        ended = 0 if note is None else note.ended
        text = ngettext(
            "%(count)d session was ended. Yours is the one that is left.",
            "%(count)d sessions were ended. Yours is the one that is left.",
            ended,
        )
        messages.success(request, text % {"count": ended})
        if note is not None and (within := note.invalidation_delay()):
            results.warn_of_delay(request, within)
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
            "trail": self.trail(request),
            "media": self.media,
            "back": self.url("changelist"),
            "consent": CONSENT,
            **shown,
        }
        if "note" not in shown:
            found, is_more = count_in_time(self._other_sessions(request))
            context["found"] = max(found, int(is_more))
            context["shown"] = at_least(found, is_more)
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
    """Return the note if this user got it within the last hour; None for any other text."""
    try:
        note = Note(**signing.loads(text, salt=_SALT, max_age=_NOTE_AGE))
    except signing.BadSignature:
        return None
    return note if note.user == str(request.user.pk) else None
