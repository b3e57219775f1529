"""Fill the store of the old site by real sign-ins, and make some sessions expire and break.

    python -m tests.switching.real.site.filling COUNT FILE

FILE gets the cookies or tokens, with what each must be afterwards. The database of ``DATABASE_URL`` is made anew.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import django
from django.contrib.auth import get_user_model
from django.contrib.auth.hashers import make_password
from django.db import connection

from tests.switching.real.site import plan
from tests.switching.real.site.engines import current
from tests.switching.real.site.kinds.base import PASSWORD


def main() -> None:
    """Do what the docstring of this module says."""
    assert find_spec("django_sessions_plus") is None, "the old site must not have this package"
    count, path = int(sys.argv[1]), Path(sys.argv[2])
    django.setup()
    connection.creation.create_test_db(verbosity=0, autoclobber=True)
    kind = current().kind
    visits = list(kind.visits(count))
    hashed = make_password(PASSWORD)
    model: Any = get_user_model()
    names = sorted({visit.user for visit in visits if visit.user})
    model.objects.bulk_create(model(username=name, password=hashed) for name in names)
    for visit in visits:
        kind.begin(visit)
    # Now, because a session in a cache expires some time after it was told to.
    for visit in visits:
        if visit.state == plan.EXPIRED:
            kind.expire(visit)
    for number, visit in enumerate(each for each in visits if each.state == plan.BROKEN):
        kind.damage(visit, number)
    path.write_text(json.dumps([asdict(visit) for visit in visits]))


if __name__ == "__main__":
    main()
