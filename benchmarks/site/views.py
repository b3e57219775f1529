"""The trivial views: what is measured is everything around them."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse


def plain(request: HttpRequest) -> HttpResponse:
    """Touch neither session nor user."""
    return HttpResponse("plain")


async def aplain(request: HttpRequest) -> HttpResponse:
    """See plain()."""
    return HttpResponse("plain")


def read(request: HttpRequest) -> HttpResponse:
    """Read ``request.user``."""
    return HttpResponse(request.user.get_username() or "nobody")


async def aread(request: HttpRequest) -> HttpResponse:
    """See read()."""
    user = await request.auser()
    return HttpResponse(user.get_username() or "nobody")


def write(request: HttpRequest) -> HttpResponse:
    """Write one key of the session."""
    request.session["n"] = request.session.get("n", 0) + 1
    return HttpResponse("written")


async def awrite(request: HttpRequest) -> HttpResponse:
    """See write()."""
    # Any: the stubs do not know the asynchronous half of every session class.
    session: Any = request.session
    await session.aset("n", await session.aget("n", 0) + 1)
    return HttpResponse("written")


def count(request: HttpRequest) -> HttpResponse:
    """Add one to the key that the request names, which belongs to one writer alone."""
    key = request.GET["key"]
    request.session[key] = request.session.get(key, 0) + 1
    return HttpResponse("written")
