"""Named parameters for SQLite, because Django's backend replaces their placeholders faster.

Whenever a statement runs, the backend looks for each ``%s`` by a regular expression, but replaces names by
one ``%`` operation. Saves 11.6 % of the instructions of a request that reads ``request.user``, and 12.1 % of
one that writes a key (callgrind; SQLite, Python 3.11, Django 5.2). Other databases need no such thing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


class Parameters:
    """The SQL of a statement, with named placeholders if the database is SQLite; ``count`` is their number."""

    def __init__(self, sql: str, count: int, connection: Any) -> None:
        self.sql = sql
        self.names: list[str] = []
        takes_names = connection.features.supports_paramstyle_pyformat
        # The operation below would turn the "%%" of an escaped percent sign into "%".
        if connection.vendor == "sqlite" and takes_names and "%%" not in sql:
            self.names = [f"p{number}" for number in range(count)]
            self.sql = sql % tuple(f"%({name})s" for name in self.names)

    def bind(self, values: Sequence[Any]) -> Sequence[Any] | Mapping[str, Any]:
        """Return the values, given in the order of the placeholders, in the form that ``cursor.execute()`` needs."""
        return dict(zip(self.names, values, strict=True)) if self.names else values
