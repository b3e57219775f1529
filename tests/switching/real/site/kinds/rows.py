"""Sessions in a table, of Django or of another package, with or without a copy in the cache."""

from __future__ import annotations

from datetime import timedelta
from importlib import import_module
from typing import Any

from tests.switching.real.site.kinds.base import Kind
from tests.switching.real.site.plan import Visit

SALT = "django.contrib.sessions.SessionStore"


class Rows(Kind):
    """Sessions in a table."""

    def expire(self, visit: Visit) -> None:
        """See Kind."""
        from django.utils import timezone

        past = timezone.now() - timedelta(seconds=1)
        assert _rows(visit).update(expire_date=past) == 1
        _delete_copy(visit)

    def damage(self, visit: Visit, number: int) -> None:
        """Cut the data, sign them with another key, or store what no engine has stored."""
        from django.core import signing

        row = _rows(visit).get()
        forged = signing.dumps({"_auth_user_id": "1"}, key="the key of somebody else", salt=SALT)
        texts = [row.session_data[:-4], forged, "no session", "", row.session_data.swapcase()]
        _rows(visit).update(session_data=texts[number % len(texts)])
        _delete_copy(visit)


def _engine() -> Any:
    from django.conf import settings

    return import_module(settings.SESSION_ENGINE)


def _rows(visit: Visit) -> Any:
    engine = _engine()
    # The store of django-user-sessions does not extend Django's, and names its model in the module alone.
    find_model = getattr(engine.SessionStore, "get_model_class", lambda: engine.Session)
    return find_model().objects.filter(pk=visit.cookie)


def _delete_copy(visit: Visit) -> None:
    """Delete the copy in the cache, if the engine has one: it would have expired too."""
    from django.conf import settings
    from django.core.cache import caches

    prefix = getattr(_engine().SessionStore, "cache_key_prefix", None)
    if prefix is not None:
        caches[settings.SESSION_CACHE_ALIAS].delete(prefix + visit.cookie)
