"""A database that fails, for tests of what is answered and shown then."""

from typing import Any

from django.db import DatabaseError, OperationalError


class FailingAt:
    """Fail one statement, counted from 1: by default as a server that goes away, which the API answers by 503."""

    def __init__(self, number: int, error: type[DatabaseError] = OperationalError) -> None:
        self.remaining = number
        self.error = error

    def __call__(self, execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        self.remaining -= 1
        if self.remaining == 0:
            raise self.error("server closed the connection unexpectedly")
        return execute(sql, params, many, context)
