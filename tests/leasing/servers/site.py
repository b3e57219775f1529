"""The pages: who is signed in, which process says so, and whether it was from memory."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from django.db import connection
from django.http import HttpRequest, JsonResponse
from django.urls import path

from django_sessions_plus.backends.leasing import listening


def hits() -> int:
    """Return how often this process has served a row from memory."""
    return sum(each.memory.figures.hits for each in listening.listeners())


def who(request: HttpRequest) -> JsonResponse:
    """Answer who is signed in."""
    statements = []

    def count(execute: Callable[..., Any], sql: str, *arguments: Any) -> Any:
        statements.append(sql)
        return execute(sql, *arguments)

    before = hits()
    with connection.execute_wrapper(count):
        user = request.user.pk
    return _answer(user, before, len(statements))


async def awho(request: HttpRequest) -> JsonResponse:
    """See who(). The statements of another thread are not counted."""
    before = hits()
    user = (await request.auser()).pk
    return _answer(user, before, 0)


def _answer(user: int | None, before: int, statements: int) -> JsonResponse:
    is_from_memory = hits() > before and not statements
    return JsonResponse({"pid": os.getpid(), "user": user, "from_memory": is_from_memory})


urlpatterns = [path("", who), path("async", awho)]
