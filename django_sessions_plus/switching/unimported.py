"""Delete tokens of other packages that were not imported yet, when all sessions of their user end.

They could not be imported afterwards. But the sign-in of ``authtoken`` returns the token that a user has, and would
return one that opens nothing.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.views.decorators.debug import sensitive_variables

from django_sessions_plus.bookkeeping import best_effort
from django_sessions_plus.bulk.locking import KEYS_PER_STATEMENT
from django_sessions_plus.switching.models import ImportedKey
from django_sessions_plus.switching.sources.named import token_sources
from django_sessions_plus.switching.sources.tokens import TokenSource


def delete_unimported(user: Any, before: datetime, *, using: str) -> None:
    """Delete the tokens of ``user`` (None: of everybody) that are older than ``before`` and were not imported.

    Those that were imported are deleted when their sessions end. What fails is logged: such a token is refused too.
    """
    found: list[TokenSource] = []
    # Without its app, a package that is still named must not keep sessions from ending.
    with best_effort("find the tables of tokens"):
        found = token_sources()
    for source in found:
        with best_effort(f"delete tokens of {source.name}", using=source.alias):
            _delete(source, user, before, using)


@sensitive_variables()
def _delete(source: TokenSource, user: Any, before: datetime, using: str) -> None:
    rows = source.rows().order_by("pk")
    if user is not None:
        rows = rows.filter(user=getattr(user, "pk", user))
    if any(field.name == "created" for field in source.model._meta.concrete_fields):
        rows = rows.filter(created__lte=before)
    last: Any = None
    while True:
        rest = rows if last is None else rows.filter(pk__gt=last)
        batch = list(rest.values_list("pk", source.column)[:KEYS_PER_STATEMENT])
        digests = {source.digest_of(key): pk for pk, key in batch}
        imported = ImportedKey.objects.using(using).filter(digest__in=list(digests))
        for digest in imported.values_list("digest", flat=True):
            del digests[digest]
        if digests:
            source.delete_rows(source.rows().filter(pk__in=list(digests.values())))
        if len(batch) < KEYS_PER_STATEMENT:
            return
        last = batch[-1][0]
