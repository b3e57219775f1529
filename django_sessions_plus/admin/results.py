"""The admin's messages after sessions were ended."""

from __future__ import annotations

from functools import partial

from django.contrib import messages
from django.http import HttpRequest
from django.utils.translation import gettext, ngettext

from django_sessions_plus.admin.dashboard import at_least
from django_sessions_plus.backends.configured import report_invalidation_delay


def with_number(text: str, count: int, *, is_more: bool) -> str:
    """Return a text, translated already, with a number in the place of ``%(count)d``: "12", or "10,000+"."""
    # So the translations of the text for a number that is known serve for this one.
    return text.replace("%(count)d", "%(count)s") % {"count": at_least(count, is_more)}


def report_left(request: HttpRequest, count: int, *, is_more: bool = False) -> None:
    """Add a message how many sessions, or how many at least, were not ended because they belong to superusers."""
    if count or is_more:
        text = ngettext(
            "%(count)d session of a superuser was left: only superusers may end it.",
            "%(count)d sessions of superusers were left: only superusers may end them.",
            # "0+" is a plural.
            count + 2 * is_more,
        )
        messages.warning(request, with_number(text, count, is_more=is_more))


def report_ended(request: HttpRequest, count: int) -> None:
    """Add a message how many sessions were ended, and whether other processes may still accept them."""
    text = ngettext("%(count)d session was ended.", "%(count)d sessions were ended.", count)
    level = messages.SUCCESS if count else messages.WARNING
    messages.add_message(request, level, text % {"count": count})
    if count:
        report_invalidation_delay(partial(warn_of_delay, request))


def warn_of_delay(request: HttpRequest, seconds: int) -> None:
    """Add a message how long other processes may still accept the ended sessions."""
    text = gettext(
        "The cache could not be told yet: other processes may accept what was ended for up"
        " to %(seconds)d seconds."
    )
    messages.warning(request, text % {"seconds": seconds})
