"""The source of an imported session follows what happens to it here, if the session was left there.

That is so with ``SESSIONS_PLUS_IMPORT_KEEP_SOURCE``, and always for tokens of other packages.

A session that ends, or gets another token, is deleted there, so that it does not come back when the site goes back to
its previous engine. What fails is tried again by ``delete_ended()``, which finds every key whose session is no longer
active under it. An expiry that moves here, once per update age at most, moves there too, and with "data" the
session's data is written back.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from functools import partial

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, OuterRef
from django.views.decorators.debug import sensitive_variables

from django_sessions_plus.backends.configured import own_engine
from django_sessions_plus.backends.use import Columns, Data
from django_sessions_plus.base_session import AbstractSession
from django_sessions_plus.bookkeeping import best_effort, savepoint_if_needed
from django_sessions_plus.bulk.locking import batched
from django_sessions_plus.conf import config
from django_sessions_plus.conf.lifetimes import FOREIGN
from django_sessions_plus.exceptions import ConfigurationError
from django_sessions_plus.switching.models import ImportedKey
from django_sessions_plus.switching.sealing import unseal
from django_sessions_plus.switching.sources.named import kept_source_of


def delete_in_source(digests: Iterable[str], *, using: str) -> None:
    """Delete the sessions with these token digests in their sources, after the commit of a running transaction.

    Digests that were not imported are left out. Never raises: what fails is logged, and tried again later.
    """
    transaction.on_commit(partial(_delete_all, list(digests), using), using=using, robust=True)


def follow_write(row: AbstractSession, columns: Columns, *, data: Data | None, using: str) -> None:
    """Write to the source of ``row`` what ``columns`` have changed, after the commit of a running transaction.

    ``row`` is as it was before, and ``data`` what the columns say of its data: None if they do not. Never raises.
    """
    if "token_digest" in columns:
        delete_in_source([row.token_digest], using=using)
        return
    if config.IMPORT_KEEP_SOURCE != "data":
        data = None
    is_kept = config.IMPORT_KEEP_SOURCE or row.transport == FOREIGN
    if is_kept and (data is not None or "expires_at" in columns):
        expires_at = columns.get("expires_at", row.expires_at)
        digest = row.token_digest

        # Not partial(), whose repr has the data: error reports show callbacks that wait for a commit.
        def write() -> None:
            _update(digest, expires_at, data, using)

        transaction.on_commit(write, using=using, robust=True)


def delete_ended(*, using: str, limit: int | None = None) -> int:
    """Delete in their sources all sessions that have ended, or have another token, here; return how many.

    For failures of ``delete_in_source()``, and for what no session reports: a purge, or an end by SQL.

    Raises:
        ConfigurationError: ``SESSION_ENGINE`` is no engine of this package, so the model of the rows is not known.
    """
    store = own_engine()
    if store is None:
        raise ConfigurationError(
            f"SESSION_ENGINE is {settings.SESSION_ENGINE!r}: delete what has ended before you go back to it."
        )
    rows = store.get_model_class().objects.using(using)
    active = rows.active().filter(token_digest=OuterRef("digest"))
    kept = ImportedKey.objects.using(using).exclude(sealed_key="").order_by("pk")
    dead = kept.filter(~Exists(active)).values_list("digest", flat=True)
    deleted = 0
    for digests in batched(list(dead[:limit])):
        deleted += _delete_all(digests, using)
    return deleted


def _delete_all(digests: list[str], using: str) -> int:
    deleted = 0
    for part in batched(digests):
        with best_effort("read which imported sessions are kept in their source", using=using):
            kept = ImportedKey.objects.using(using).filter(digest__in=part).exclude(sealed_key="")
            for key in kept:
                with best_effort(f"delete an ended session of {key.source}"):
                    _delete(key, using)
                    deleted += 1
    return deleted


@sensitive_variables()
def _delete(key: ImportedKey, using: str) -> None:
    source = kept_source_of(key.source)
    token = unseal(key.sealed_key, key.digest, source.digest_of)
    if token is not None:
        with savepoint_if_needed(source.alias):
            source.delete(token)
    # Without the key, nothing more can be done: SECRET_KEY was changed without a fallback.
    ImportedKey.objects.using(using).filter(pk=key.pk).update(sealed_key="")


@sensitive_variables()
def _update(digest: str, expires_at: datetime, data: Data | None, using: str) -> None:
    with best_effort("write to the source of an imported session", using=using):
        kept = ImportedKey.objects.using(using).filter(digest=digest).exclude(sealed_key="")
        for key in kept:
            source = kept_source_of(key.source)
            token = unseal(key.sealed_key, digest, source.digest_of)
            if token is not None:
                with savepoint_if_needed(source.alias):
                    source.update(token, expires_at, data)
