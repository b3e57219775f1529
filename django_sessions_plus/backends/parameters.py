"""How a kept statement takes its values."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from django_sessions_plus.backends.building import expect

_PLACEHOLDER = re.compile(r"(?<!%)%s")


class Parameters:
    """The text of a statement with its placeholders, in the form that is executed fastest.

    For SQLite Django looks for each ``%s`` by a regular expression whenever a statement is
    executed, which is slower than to find the row. Placeholders with names it fills in by one
    ``%``. Other drivers have a quick way of their own.
    """

    def __init__(self, sql: str, count: int, connection: Any) -> None:
        self.sql = sql
        self.names: tuple[str, ...] = ()
        if connection.vendor != "sqlite":
            return
        pieces = _PLACEHOLDER.split(sql)
        expect(len(pieces) == count + 1)
        self.names = tuple(f"p{number}" for number in range(count))
        self.sql = pieces[0] + "".join(
            f"%({name})s{piece}" for name, piece in zip(self.names, pieces[1:], strict=True)
        )

    def bind(self, values: Sequence[Any]) -> Sequence[Any] | Mapping[str, Any]:
        """Return the values, in the order of the placeholders, as the text takes them."""
        return dict(zip(self.names, values, strict=True)) if self.names else values
