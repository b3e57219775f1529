"""Hide the secrets of a request from error reporters.

Reporters such as Sentry show the local variables of every frame, and the body of the request. So
a secret becomes a ``HiddenText`` as soon as the body is read: then it may be in any variable, and
an argument of any function of Django.

Private names of Django 5.2 to 6.1: ``_body`` and ``_post`` of ``HttpRequest``, which reporters read, and
``_mutable`` of ``QueryDict``, to make a copy of a form immutable again. tests/test_private_names.py fails if they
disappear.
"""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from functools import wraps
from typing import Any

from django.http import HttpRequest, QueryDict

NAMES = ("password", "refresh", "access", "token", "attempt", "csrfmiddlewaretoken")
"""The names of secret fields, in JSON and in forms."""

_SHOWN = "'********************'"


class HiddenText(str):
    """A ``str`` whose repr does not show its text."""

    __slots__ = ()

    def __repr__(self) -> str:
        return _SHOWN

    def __sentry_repr__(self) -> str:
        """Return what Sentry's SDK shows: outside of local variables it does not use the repr of texts."""
        return _SHOWN


def hide(fields: MutableMapping[str, Any]) -> None:
    """Hide the secrets among the fields of a JSON body; values that are no text are not changed."""
    for name in NAMES:
        if isinstance(value := fields.get(name), str):
            fields[name] = HiddenText(value)


def hide_form(form: QueryDict) -> QueryDict:
    """Return a copy of the form with its secrets hidden."""
    hidden = form.copy()
    for name in NAMES:
        if name in form:
            hidden.setlist(name, [HiddenText(value) for value in form.getlist(name)])
    hidden._mutable = False
    return hidden


def forget_body(request: HttpRequest) -> None:
    """Drop the body of a request after it was read."""
    request._body = b""


def hide_posted(view: Callable[..., Any]) -> Callable[..., Any]:
    """Decorate a view so that the secrets of a posted form are hidden before it runs or makes a query."""

    @wraps(view)
    def wrapper(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        if request.method == "POST":
            request._post = hide_form(request.POST)  # type: ignore[attr-defined]
            forget_body(request)
        return view(request, *args, **kwargs)

    return wrapper
