"""Parameters by name, which Django's SQLite backend fills in sooner.

It looks for each ``%s`` by a regular expression whenever a statement runs, and fills in names by one ``%``.
Saves 11.6 % of the instructions of a request that reads ``request.user``, and 12.1 % of one that writes a
key (callgrind; SQLite, Python 3.11, Django 5.2). Other drivers need nothing of the kind.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


class Parameters:
    """The text of a statement, and the form in which it takes the values of its ``count`` placeholders."""

    def __init__(self, sql: str, count: int, connection: Any) -> None:
        self.sql = sql
        self.names: list[str] = []
        takes_names = connection.features.supports_paramstyle_pyformat
        # A percent sign of the text itself would lose its twin.
        if connection.vendor == "sqlite" and takes_names and "%%" not in sql:
            self.names = [f"p{number}" for number in range(count)]
            self.sql = sql % tuple(f"%({name})s" for name in self.names)

    def bind(self, values: Sequence[Any]) -> Sequence[Any] | Mapping[str, Any]:
        """Return the values, in the order of the placeholders, as the text takes them."""
        return dict(zip(self.names, values, strict=True)) if self.names else values
