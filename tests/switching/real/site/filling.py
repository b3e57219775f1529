"""Fill the store of the old site by real sign-ins, and make some sessions expire and break.

    python -m tests.switching.real.site.filling COUNT FILE

FILE gets the cookies, with what each must be afterwards. The database of ``DATABASE_URL`` is made anew.
"""

from __future__ import annotations

import json
import os
import pickle
import sys
import time
from collections.abc import Iterable
from dataclasses import asdict
from datetime import timedelta
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import django
import redis
from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.hashers import make_password
from django.core import signing
from django.core.cache import caches
from django.db import connection
from django.test import Client
from django.utils import timezone

from tests.switching.real.site import plan

PASSWORD = "not a secret in a test"
SALT = "django.contrib.sessions.SessionStore"


def main() -> None:
    """Do what the docstring of this module says."""
    assert find_spec("django_sessions_plus") is None, "the old site must not have this package"
    count, path = int(sys.argv[1]), Path(sys.argv[2])
    django.setup()
    connection.creation.create_test_db(verbosity=0, autoclobber=True)
    hashed = make_password(PASSWORD)
    users = (plan.user_name(each) for each in range(plan.users_of(count)))
    model: Any = get_user_model()
    model.objects.bulk_create(model(username=name, password=hashed) for name in users)
    visits = list(plan.visits_of(count))
    for visit in visits:
        begin(visit)
    expire_and_damage(visits)
    path.write_text(json.dumps([asdict(visit) for visit in visits]))


def expire_and_damage(visits: list[plan.Visit]) -> None:
    """Make those that have to be dead so, as their engine allows."""
    expired = [visit for visit in visits if visit.state == plan.EXPIRED]
    broken = [visit for visit in visits if visit.state == plan.BROKEN]
    if settings.SESSION_ENGINE.endswith("signed_cookies"):
        for visit in expired:
            visit.cookie = signed_long_ago(visit.cookie)
        for number, visit in enumerate(broken):
            visit.cookie = damaged_cookie(visit.cookie, number)
    elif settings.SESSION_ENGINE.endswith("file"):
        for visit in expired:
            os.utime(file_of(visit.cookie), (0, 0))
        for number, visit in enumerate(broken):
            file_of(visit.cookie).write_text(["no session", "a:b:c"][number % 2])
    else:
        expire([visit.cookie for visit in expired])
        for number, visit in enumerate(broken):
            damage(visit.cookie, number)


def begin(visit: plan.Visit) -> None:
    """Visit the site with a browser that has no session yet."""
    headers = {"user-agent": visit.agent} if visit.agent else {}
    client = Client(headers=headers, REMOTE_ADDR=visit.ip)
    if visit.user:
        form = {"user": visit.user, "password": PASSWORD}
        if visit.expiry is not None:
            form["expiry"] = str(visit.expiry)
        assert client.post("/sign-in", form).status_code == 200
    assert client.post("/store", visit.data, content_type="application/json").status_code == 200
    assert client.get("/who").json() == {"user": visit.user, "data": visit.data}
    visit.cookie = client.cookies[settings.SESSION_COOKIE_NAME].value


class SignerOfThePast(signing.TimestampSigner):
    """Signs as if it were 100 days ago."""

    def timestamp(self) -> str:
        """See TimestampSigner."""
        return signing.b62_encode(int(time.time()) - 100 * 86400)


def signed_long_ago(cookie: str) -> str:
    """Return the same signed data, signed so long ago that it has expired."""
    data = signing.loads(cookie, salt=settings.SESSION_ENGINE)
    return SignerOfThePast(salt=settings.SESSION_ENGINE).sign_object(data, compress=True)


def damaged_cookie(cookie: str, number: int) -> str:
    """Return a cookie that the site has not signed, each time another one."""
    data = signing.loads(cookie, salt=settings.SESSION_ENGINE)
    forged = signing.dumps(data, key="the key of somebody else", salt=settings.SESSION_ENGINE)
    other = signing.dumps(data, salt="an unsubscribe link")
    return [cookie[:-4], forged, other, cookie.swapcase()][number % 4]


def file_of(key: str) -> Path:
    """Return the file of a session."""
    return Path(str(settings.SESSION_FILE_PATH)) / f"{settings.SESSION_COOKIE_NAME}{key}"


def expire(keys: Iterable[str]) -> None:
    """Move the expiry of sessions in the store into the past, in a cache to the next second."""
    model = rows_model()
    for key in keys:
        if model is None:
            assert caches[settings.SESSION_CACHE_ALIAS].touch(cached_name(key), 1)
        else:
            past = timezone.now() - timedelta(seconds=1)
            assert model.objects.filter(pk=key).update(expire_date=past) == 1
            delete_copy(key)


def damage(key: str, number: int) -> None:
    """Damage the data of a session, each time in another way."""
    model = rows_model()
    if model is None:
        # As pickle.loads() fails for a class that a deployment has moved, or for half an entry.
        unreadable = [b"cno_such_module\nClass\n.", b"\x80", pickle.dumps("no session")]
        name = caches[settings.SESSION_CACHE_ALIAS].make_key(cached_name(key))
        redis.Redis.from_url(os.environ["REDIS_URL"]).set(name, unreadable[number % 3])
        return
    row = model.objects.get(pk=key)
    forged = signing.dumps({"_auth_user_id": "1"}, key="the key of somebody else", salt=SALT)
    texts = [row.session_data[:-4], forged, "no session", "", row.session_data.swapcase()]
    model.objects.filter(pk=key).update(session_data=texts[number % len(texts)])
    delete_copy(key)


def rows_model() -> Any:
    """Return the model of the engine's rows; None if it keeps sessions in a cache alone."""
    module: Any = import_module(settings.SESSION_ENGINE)
    if hasattr(module.SessionStore, "get_model_class"):
        return module.SessionStore.get_model_class()
    return getattr(module, "Session", None)


def cached_name(key: str) -> str | None:
    """Return the name of a session in the cache; None if the engine uses none."""
    module: Any = import_module(settings.SESSION_ENGINE)
    prefix = getattr(module.SessionStore, "cache_key_prefix", None)
    return None if prefix is None else prefix + key


def delete_copy(key: str) -> None:
    """Delete a copy of the row in the cache, which would have expired too."""
    name = cached_name(key)
    if name is not None:
        caches[settings.SESSION_CACHE_ALIAS].delete(name)


if __name__ == "__main__":
    main()
