"""Tags for pages that show sessions: ``{% load sessions_plus_devices %}``. The buttons need the pages mounted."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django import template
from django.template.loader import render_to_string
from django.utils import timezone
from django.utils.safestring import SafeString

from django_sessions_plus import sessions
from django_sessions_plus.accounts.sign_in_page import reason_signed_out
from django_sessions_plus.conf import config
from django_sessions_plus.presentation import keyset, wording
from django_sessions_plus.presentation.entries import Entry, entries

register = template.Library()


@register.simple_tag(takes_context=True)
def sessions_for(context: template.Context, user: Any, limit: int | None = None) -> list[Entry]:
    """Return the active sessions of ``user``, the one of the request first; one query.

    At most ``limit`` (default: ``SESSIONS_PLUS_PAGE_SIZE``), the most recently active ones::

        {% sessions_for user as entries %}
        {% for entry in entries %}{{ entry.name }}{% endfor %}
    """
    rows = sessions.list_for(user).defer("session_data")[: limit or config.PAGE_SIZE]
    request = context.get("request")
    current = None if request is None else sessions.resolve(request)
    return sorted(entries(rows, current), key=lambda entry: not entry.is_current)


@register.simple_tag
def device_icon(shown: Any) -> SafeString:
    """Return the icon of an entry, a session or a device, as inline SVG that screen readers ignore."""
    kind = (
        "token" if getattr(shown, "access", "") == "token" else getattr(shown, "device", shown).kind
    )
    return render_to_string(f"django_sessions_plus/icons/{kind}.svg")


@register.filter
def in_time(value: datetime) -> SafeString:
    """Show a time in words, the exact time in ``title`` and ``datetime``: ``{{ session.last_seen_at|in_time }}``."""
    return wording.time_element(value, timezone.now())


@register.simple_tag(takes_context=True)
def sign_out_reason(context: template.Context) -> str:
    """Return why the user was signed out, for a sign-in page; empty if there is nothing to show.

    ::

        {% sign_out_reason as reason %}{% if reason %}<p role="status">{{ reason }}</p>{% endif %}
    """
    request = context.get("request")
    return "" if request is None else reason_signed_out(request)


@register.inclusion_tag("django_sessions_plus/includes/sign_out_button.html")
def sign_out_button() -> dict[str, Any]:
    """Show a form with a button that signs out."""
    return {}


@register.inclusion_tag("django_sessions_plus/includes/end_button.html")
def end_button(entry: Entry, cursor: str = "") -> dict[str, Any]:
    """Show a button that ends the entry's session; for the session of the request it signs out.

    ``cursor`` is the page of the list to return to.
    """
    return {"entry": entry, "query": f"?{keyset.PARAMETER}={cursor}" if cursor else ""}
