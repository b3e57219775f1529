"""Fill Django's table of sessions quickly, with what its own engine would have stored, and print some cookies.

    python -m tests.switching.real.site.filling_many COUNT SHOWN

Of each twenty living sessions one is of nobody. Besides, for each ten there is one that has expired. The database
of ``DATABASE_URL`` is made anew. Prints JSON: SHOWN cookies of living sessions, with the names of their users.
"""

from __future__ import annotations

import json
import sys
from datetime import timedelta
from typing import Any

import django
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY, get_user_model
from django.db import connection
from django.utils import timezone
from django.utils.crypto import get_random_string

from tests.switching.real.site import plan

BATCH = 5_000
BACKEND = "django.contrib.auth.backends.ModelBackend"
ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789"
DAY = timedelta(days=1)


def main() -> None:
    """Do what the docstring of this module says."""
    count, shown = int(sys.argv[1]), int(sys.argv[2])
    django.setup()
    connection.creation.create_test_db(verbosity=0, autoclobber=True)
    users: Any = get_user_model()._default_manager
    names = [plan.user_name(each) for each in range(plan.users_of(count))]
    users.bulk_create(
        (users.model(username=name, password=f"md5${name}") for name in names), batch_size=BATCH
    )
    signed_in = [data_of(user) for user in users.order_by("pk").iterator()]
    found = fill(count, names, signed_in, every=max(count // shown, 1))
    with connection.cursor() as cursor:
        # Without statistics the database would read whole tables.
        cursor.execute("ANALYZE")
    print(json.dumps(found))


def data_of(user: Any) -> dict[str, Any]:
    """Return what a session has whose user has signed in."""
    auth_hash = user.get_session_auth_hash()
    return {
        SESSION_KEY: str(user.pk),
        BACKEND_SESSION_KEY: BACKEND,
        HASH_SESSION_KEY: auth_hash,
    }


def fill(
    count: int, names: list[str], signed_in: list[dict[str, Any]], *, every: int
) -> list[tuple[str, str]]:
    """Store the sessions, and return the cookie and the user of each ``every``-th living one."""
    # Its app must be installed when it is imported.
    from django.contrib.sessions.backends.db import SessionStore  # noqa: PLC0415
    from django.contrib.sessions.models import Session  # noqa: PLC0415

    store, now, rows, found = SessionStore(), timezone.now(), [], []
    for number in range(count + count // 10):
        is_living, at = number < count, number % len(names)
        key, name = get_random_string(32, ALPHABET), "" if number % 20 == 19 else names[at]
        data = {"basket": [["tea", number]], **(signed_in[at] if name else {})}
        expires_at = now + (14 * DAY - timedelta(seconds=number % 864_000) if is_living else -DAY)
        rows.append(
            Session(session_key=key, session_data=store.encode(data), expire_date=expires_at)
        )
        if is_living and number % every == 0:
            found.append((key, name))
        if len(rows) == BATCH:
            Session.objects.bulk_create(rows)
            rows.clear()
    Session.objects.bulk_create(rows)
    return found


if __name__ == "__main__":
    main()
