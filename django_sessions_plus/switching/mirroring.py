"""With ``SESSIONS_PLUS_IMPORT_KEEP_SOURCE``: a session that ends here, or gets another token, is deleted in its source.

So that it does not come back when the site goes back to its previous engine. What fails is tried again by
``delete_ended()``, which finds every key whose session is no longer active under it.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from django.db import transaction
from django.db.models import Exists, OuterRef
from django.views.decorators.debug import sensitive_variables

from django_sessions_plus import sessions
from django_sessions_plus.bookkeeping import best_effort
from django_sessions_plus.bulk.locking import batched
from django_sessions_plus.switching.models import ImportedKey
from django_sessions_plus.switching.sealing import unseal
from django_sessions_plus.switching.sources import source_of


def delete_in_source(digests: Iterable[str], *, using: str) -> None:
    """Delete the sessions with these token digests in their sources, after the commit of a running transaction.

    Digests that were not imported are left out. Never raises: what fails is logged, and tried again later.
    """
    transaction.on_commit(partial(_delete_all, list(digests), using), using=using, robust=True)


def delete_ended(*, using: str, limit: int | None = None) -> int:
    """Delete in their sources all sessions that have ended, or have another token, here; return how many.

    For failures of ``delete_in_source()``, and for what no session reports: a purge, or an end by SQL.
    """
    model = sessions.session_model()
    active = model.objects.using(using).active().filter(token_digest=OuterRef("digest"))
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
    token = unseal(key.sealed_key, key.digest)
    if token is not None:
        source_of(key.source).delete(token)
    # Without the key, nothing more can be done: SECRET_KEY was changed without a fallback.
    ImportedKey.objects.using(using).filter(pk=key.pk).update(sealed_key="")
