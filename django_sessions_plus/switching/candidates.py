"""Decide which rows of a batch are imported, by the rules of the import of one session, in a few queries. No writes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from django.db import DatabaseError
from django.utils import timezone
from django.views.decorators.debug import sensitive_variables

from django_sessions_plus import tokens
from django_sessions_plus.backends.changes import EXPIRY_KEY
from django_sessions_plus.backends.session import SessionStore
from django_sessions_plus.base_session import AbstractSession
from django_sessions_plus.exceptions import ConfigurationError
from django_sessions_plus.switching.barriers import barriers_of_many, forbids
from django_sessions_plus.switching.companions import completed
from django_sessions_plus.switching.decoding import UnreadableError
from django_sessions_plus.switching.identity import FindUser, RefusedError, user_of, users_of
from django_sessions_plus.switching.importing import new_row
from django_sessions_plus.switching.models import ImportedKey
from django_sessions_plus.switching.sources.base import OldSession
from django_sessions_plus.switching.sources.rows import RowSource

MALFORMED = (
    "its key is not one that an engine of this package accepts: 32 characters of a-z and 0-9"
)
TOO_OLD = "all sessions of its user, or of everybody, were ended since"


@dataclass(frozen=True)
class Candidate:
    """A session that may be imported."""

    # Not in the repr, which may get into a log.
    session_key: str = field(repr=False)
    old: OldSession
    user: Any
    row: AbstractSession
    """Its new row, not inserted."""


@dataclass
class Batch:
    """What was decided about some rows of a source."""

    candidates: list[Candidate] = field(default_factory=list)
    imported: dict[str, str] = field(default_factory=dict)
    """The digests of those that were imported before; the value is the encrypted key, empty if there is none."""
    to_delete: list[str] = field(default_factory=list, repr=False)
    """The keys of those of them that should no longer be in the source."""
    expired: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    """How many, by the reason."""
    unreadable: Counter[str] = field(default_factory=Counter)


class Judge:
    """Decides about rows of one source."""

    def __init__(self, source: RowSource, store_class: type[SessionStore], using: str) -> None:
        self.source = source
        self.store_class = store_class
        self.model = store_class.get_model_class()
        self.using = using
        store: Any = source.store_class()
        self._cookie_age = timedelta(seconds=store.get_session_cookie_age())

    @sensitive_variables()
    def decide(self, rows: Iterable[Any]) -> Batch:
        """Return which of these rows of the source may be imported, and why the others may not; four queries.

        Raises:
            DatabaseError: a query fails.
            ConfigurationError: a setting cannot be used.
        """
        batch = Batch()
        olds = completed(self._read(self._without_imported(rows, batch), batch))
        find = users_of((old.data for old in olds.values()), self.model)
        candidates = [
            candidate
            for session_key, old in olds.items()
            if (candidate := self._candidate(session_key, old, find, batch)) is not None
        ]
        users = (each.user for each in candidates if each.user)
        barriers = barriers_of_many(users, using=self.using)
        for each in candidates:
            if forbids(barriers, each.user, each.old.created_at):
                batch.refused[TOO_OLD] += 1
            else:
                batch.candidates.append(each)
        return batch

    @sensitive_variables()
    def _without_imported(self, rows: Iterable[Any], batch: Batch) -> dict[str, Any]:
        """Return the rows that were not imported before, by their keys."""
        by_digest = {}
        for row in rows:
            if tokens.is_well_formed(row.session_key):
                by_digest[tokens.digest(row.session_key)] = row
            else:
                batch.unreadable[MALFORMED] += 1
        imported = ImportedKey.objects.using(self.using).filter(digest__in=list(by_digest))
        for digest, sealed_key in imported.values_list("digest", "sealed_key"):
            row = by_digest.pop(digest)
            batch.imported[digest] = sealed_key
            if not sealed_key:
                # The process that imported it was stopped before it deleted the row, or a process
                # of the previous deployment has stored it again.
                batch.to_delete.append(row.session_key)
        return {row.session_key: row for row in by_digest.values()}

    @sensitive_variables()
    def _read(self, rows: dict[str, Any], batch: Batch) -> dict[str, OldSession]:
        olds = {}
        for key, row in rows.items():
            try:
                olds[key] = self.source.read(row)
            except UnreadableError as error:
                batch.unreadable[str(error)] += 1
        return olds

    @sensitive_variables()
    def _candidate(
        self, session_key: str, old: OldSession, find: FindUser, batch: Batch
    ) -> Candidate | None:
        try:
            user = user_of(old.data, self.model, find)
            used = replace(old, last_seen_at=old.last_seen_at or self._last_used_at(old))
            row = new_row(self.store_class, used, user=user, digest=tokens.digest(session_key))
        except RefusedError as error:
            batch.refused[str(error)] += 1
        except UnreadableError as error:
            batch.unreadable[str(error)] += 1
        except (DatabaseError, ConfigurationError):
            raise
        except Exception as error:  # noqa: BLE001 - a project's own engine may have columns made from the data
            batch.unreadable[f"no row can be made of its data ({type(error).__name__})"] += 1
        else:
            if row.is_active():
                # Not ``used``: an estimate must not decide whether a barrier forbids the import.
                return Candidate(session_key=session_key, old=old, user=user, row=row)
            batch.expired += 1
        return None

    def _last_used_at(self, old: OldSession) -> datetime | None:
        """Estimate when the session was last used, for a source that does not record it: when its expiry was set.

        Without a request there is no better time, and now would make sessions of last week the newest.
        """
        age, explicit = self._cookie_age, old.data.get(EXPIRY_KEY)
        if isinstance(explicit, (int, float)) and explicit > 0:
            age = timedelta(seconds=explicit)
        if old.expires_at is None:
            return None
        set_at = old.expires_at - age
        return min(timezone.now(), max(set_at, old.created_at or set_at))
