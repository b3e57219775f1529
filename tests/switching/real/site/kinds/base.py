"""What a kind of source answers, with the answers for sessions that a server stores and a cookie names."""

from __future__ import annotations

from collections.abc import Iterator
from threading import Barrier
from typing import Any

from tests.switching.real.site import plan
from tests.switching.real.site.asking import ask, or_nobody
from tests.switching.real.site.plan import Visit

PASSWORD = "not a secret in a test"


class Kind:
    """Sessions that a server stores and a cookie names."""

    # The run asks these.

    logged = "was not imported"
    """What the new site logs of each session that is broken."""
    also_logged: tuple[str, ...] = ()
    """What else it may log."""
    needs_package_after_going_back = False
    """Whether nothing but this package knows which sessions have ended, so that it has to stay."""

    def visits(self, count: int) -> Iterator[Visit]:
        """Yield what the old site has to have, with ``count`` living sessions."""
        return plan.visits_of(count)

    def answer(self, address: str, visit: Visit, barrier: Barrier) -> Any:
        """Return whom the site takes a visitor for, after waiting for the others who ask at the same time.

        That is the user and the data, NOBODY, or a text that says what went wrong.

        Raises:
            OSError, HTTPException, BrokenBarrierError: there was no answer.
        """
        headers = {"Cookie": f"sessionid={visit.cookie}", **visit.headers}
        return or_nobody(*ask(address, "/who", headers, barrier=barrier))

    def left(self, living: int, *, is_kept: bool) -> int | None:
        """Return how many of the living the old store has to have after the switch; None if that cannot be asked."""
        return living if is_kept else 0

    def lines(self, broken: int) -> int:
        """Return how many such lines there are at least; none are allowed if it is 0."""
        return broken

    # The old site asks these.

    def begin(self, visit: Visit) -> None:
        """Visit the site with a browser that has no session yet, and note its cookie."""
        from django.test import Client

        client = Client(headers=visit.headers, REMOTE_ADDR=visit.ip)
        if visit.user:
            form = {"user": visit.user, "password": PASSWORD}
            if visit.expiry is not None:
                form["expiry"] = str(visit.expiry)
            assert client.post("/sign-in", form).status_code == 200
        stored = client.post("/store", visit.data, content_type="application/json")
        assert stored.status_code == 200
        assert client.get("/who").json() == {"user": visit.user, "data": visit.data}
        visit.cookie = client.cookies["sessionid"].value

    def expire(self, visit: Visit) -> None:
        """Have the session expire, or give the visitor one that has expired."""
        raise NotImplementedError

    def damage(self, visit: Visit, number: int) -> None:
        """Make the session unreadable, or what the visitor has; for each ``number`` in another way."""
        raise NotImplementedError

    # The new site asks these.

    def digest(self, cookie: str) -> str:
        """Return the digest that the row of an imported session has."""
        from django_sessions_plus import tokens

        return tokens.digest(cookie)

    def is_left(self, cookie: str) -> bool:
        """Return whether the old store has a session that can be used."""
        from django_sessions_plus.conf import config
        from django_sessions_plus.switching.sources.named import source_of

        source: Any = source_of(config.IMPORT_FROM[0])
        return source.find(cookie) is not None
