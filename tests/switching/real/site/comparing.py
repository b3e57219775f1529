"""Compare the rows of the new site with the sessions that the old site had.

    python -m tests.switching.real.site.comparing FILE

Prints JSON: how many rows there are, and what differs from what was expected.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import django

from tests.switching.real.site import plan
from tests.switching.real.site.engines import Engine, current


def main() -> None:
    """Do what the docstring of this module says."""
    django.setup()
    engine = current()
    visits = [plan.Visit(**each) for each in json.loads(Path(sys.argv[1]).read_text())]
    living = [visit.cookie for visit in visits if visit.state == plan.LIVING]
    left = sum(map(engine.kind.is_left, living))
    print(json.dumps({**compare(visits, engine), "left": left}))


def compare(visits: list[plan.Visit], engine: Engine) -> dict[str, Any]:
    """Return how many rows there are, and what is wrong with them."""
    # Models can only be imported when Django is set up.
    from django_sessions_plus import sessions  # noqa: PLC0415

    found = sessions.session_model()._default_manager.select_related("user")
    rows = {row.token_digest: row for row in found}
    count, differences = len(rows), []
    for visit in visits:
        row = rows.pop(engine.kind.digest(visit.cookie), None)
        if (row is None) == (visit.state == plan.LIVING):
            differences.append(f"{visit}: has {'no row' if row is None else 'a row'}")
        elif row is not None:
            differences += [f"{visit}: {each}" for each in differences_of(row, visit, engine)]
    differences += [f"row {row.pk} is of no session of the old site" for row in rows.values()]
    return {"rows": count, "differences": differences}


def differences_of(row: Any, visit: plan.Visit, engine: Engine) -> Iterator[str]:
    """Yield what in a row is not as it has to be after the first requests."""
    if (row.user.get_username() if row.user else "") != visit.user:
        yield "another user"
    if row.user_agent != (visit.agent or None):
        yield f"the agent {row.user_agent!r}"
    if row.imported_at is None or row.authenticated_at is not None:
        yield "imported_at or authenticated_at"
    knows = engine.longest_agent is not None
    if knows and row.ip_address not in (visit.ip, "127.0.0.1"):
        yield f"the address {row.ip_address}"
    if engine.has_dates and not row.created_at < row.imported_at:
        yield "created_at"
    if row.remember is not (visit.expiry != 0):
        yield f"remember {row.remember}"


if __name__ == "__main__":
    main()
