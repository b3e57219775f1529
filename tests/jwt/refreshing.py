"""A process that refreshes one token many times at once: ``python -m tests.jwt.refreshing PATH TIMES GRACE``.

It says when it is ready, waits for the token on its standard input, and prints what it
got, a line each.
"""

from __future__ import annotations

import sys
from datetime import timedelta
from typing import Any

import django
from django.conf import settings

from tests.backends.racing import ALIAS, PATIENCE


def main(path: str, times: int, grace: int) -> None:
    databases: Any = settings.DATABASES
    databases[ALIAS] |= {"NAME": path, "OPTIONS": {"timeout": PATIENCE}}
    settings.SESSIONS_PLUS_REFRESH_GRACE = timedelta(seconds=grace)
    django.setup()
    # Both need the models.
    from django_sessions_plus.jwt.refresh import refresh  # noqa: PLC0415
    from tests.backends.racing import racers  # noqa: PLC0415

    with racers(times) as racing:
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        token = sys.stdin.readline().strip()
        pairs = racing.run(*[lambda: refresh(token)] * times)
    sys.stdout.writelines(f"{pair.refresh}\n" for pair in pairs)


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
