"""Import one session of another engine when its token is presented; the engine calls this for tokens it does not know.

The order makes it safe beside everything else that may happen. The key is written down together with the new
row, in one transaction, under a unique constraint: of twenty requests that arrive together one imports, and the
others read its row. Only then the session is deleted in the other store, so a request that finds it in neither
looks again. A key that is written down is never imported again, so that nothing that ended here comes back.
Afterwards the barriers are read a second time, because all sessions of the user may have ended in between.

Longer than other modules, because the steps have to be read in that order.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from django.db import DatabaseError, IntegrityError, router, transaction
from django.utils import timezone

from django_sessions_plus import events, sessions, tokens
from django_sessions_plus.backends import changes, context
from django_sessions_plus.backends.use import NO_META, Columns
from django_sessions_plus.bookkeeping import best_effort, log_failure
from django_sessions_plus.conf import config
from django_sessions_plus.conf.kinds import Transport
from django_sessions_plus.switching.asking import NoAnswer, ask, unknown_tokens
from django_sessions_plus.switching.barriers import forbid_earlier as forbid_earlier
from django_sessions_plus.switching.barriers import is_forbidden
from django_sessions_plus.switching.companions import completed
from django_sessions_plus.switching.decoding import UnreadableError
from django_sessions_plus.switching.identity import RefusedError, user_of
from django_sessions_plus.switching.mirroring import delete_in_source as delete_in_source
from django_sessions_plus.switching.mirroring import follow_write as follow_write
from django_sessions_plus.switching.models import ImportedKey
from django_sessions_plus.switching.sealing import seal
from django_sessions_plus.switching.signed_cookies import is_cookie_used as is_cookie_used
from django_sessions_plus.switching.signed_cookies import is_copy_of_ended
from django_sessions_plus.switching.signed_cookies import take_cookie as take_cookie
from django_sessions_plus.switching.sources.base import OldSession, Source
from django_sessions_plus.switching.sources.cookies import SignedCookieSource
from django_sessions_plus.switching.sources.named import sources

if TYPE_CHECKING:
    from django_sessions_plus.backends.rows import Rows
    from django_sessions_plus.backends.session import SessionStore
    from django_sessions_plus.base_session import AbstractSession

logger = logging.getLogger("django_sessions_plus")


def import_session(store: SessionStore) -> AbstractSession | None:
    """Return the row of the session that another engine has for the token of ``store``, now imported; else None.

    None also for a session that may not be imported: expired, unreadable, ended before, or one that its user
    could not go on with. The store must have a well-formed token that no row has.

    If the row cannot be written, the session is returned without one, as the other engine would have served
    it: the request can read it, and the next request tries again.

    Raises:
        ConfigurationError: ``SESSIONS_PLUS_IMPORT_FROM`` names something that cannot be used.
    """
    # The token is in no local variable, because error reports show those.
    digest = tokens.digest(store.session_key or "")
    is_cookie = store.cookie_value is not None
    named = [each for each in sources() if isinstance(each, SignedCookieSource) is is_cookie]
    if not named or digest in unknown_tokens:
        return None
    failed = []
    for source in named:
        try:
            found = ask(source, _presented(store))
            if isinstance(found, OldSession):
                return _import(store, source, found, digest)
        except (UnreadableError, RefusedError) as error:
            logger.warning("A session of %s was not imported: %s.", source.name, error)
        else:
            if found is NoAnswer.FAILED:
                failed.append(source)
    row = _find_again(store, digest, is_certain=not failed)
    if row is None and failed:
        # With several stores that fail at the same time, the session is deleted later in the first one only.
        key = _key(store, failed[0], digest, is_kept=True)
        store.uncommitted.forbid_import = partial(_forbid, key, using=store.rows.alias)
    return row


def _presented(store: SessionStore) -> str:
    """Return what the source is asked for: the token, or the cookie from which it was derived."""
    return store.cookie_value or store.session_key or ""


def _key(store: SessionStore, source: Source, digest: str, *, is_kept: bool) -> ImportedKey:
    """Return what to write down of the token of ``store``, to delete it later if it ``is_kept`` in ``source``."""
    key = ImportedKey(digest=digest, source=source.name)
    if is_kept and source.can_keep:
        key.sealed_key = seal(store.session_key or "", digest)
    return key


def _forbid(key: ImportedKey, *, using: str) -> None:
    """Forbid to import the session of this key: it has ended while its store could not be asked."""
    try:
        with transaction.atomic(using=using):
            key.save(force_insert=True, using=using)
    except IntegrityError:
        # It was imported, or forbidden, before.
        pass


def is_importable(token: str) -> bool:
    """Return whether another engine has a session with this token, whoever may use it."""
    try:
        found = [ask(source, token) for source in sources()]
    except UnreadableError:
        return False
    is_known = any(isinstance(each, OldSession) for each in found)
    using = router.db_for_write(sessions.session_model())
    digest = tokens.digest(token)
    return is_known and not ImportedKey.objects.using(using).filter(digest=digest).exists()


def new_row(
    store_class: type[SessionStore],
    old: OldSession,
    *,
    user: Any,
    digest: str,
    meta: Mapping[str, Any] = NO_META,
    transport: Transport = "cookie",
) -> AbstractSession:
    """Return the row for a session of another engine, not inserted; ``meta`` is that of the request, if there is one.

    Raises:
        UnreadableError: a value of its data cannot be stored by ``SESSION_SERIALIZER``, or is no expiry.
    """
    now = timezone.now()
    # A store of its own: that of the request may have been given what the next save has to write.
    store = store_class()
    store.meta, store.transport = meta, transport
    if old.data.get(changes.EXPIRY_KEY) == 0:
        store.pending_remember = False
    try:
        text = store.encode(old.data)
    except (TypeError, ValueError) as error:
        raise UnreadableError(
            "SESSION_SERIALIZER cannot store a value of its data; set it to that of the previous engine"
        ) from error
    user_id = None if user is None else user.pk
    try:
        columns = changes.new_columns(None, old.data, store, now, user_id=user_id)
    except (ArithmeticError, TypeError, ValueError) as error:
        raise UnreadableError("its data has an expiry that is none") from error
    columns |= _known_columns(old, columns, now) | store.extra_columns(old.data)
    row = store.get_model_class()(token_digest=digest, session_data=text, **columns)
    users: Any = row._meta.get_field("user").related_model
    if isinstance(user, users) and row.are_users_in(router.db_for_write(type(row))):
        # What loads the session next need not query the user again.
        row.user = user
    return row


def _known_columns(old: OldSession, columns: Columns, now: Any) -> Columns:
    """Return what differs from a session that starts now."""
    seen_at = min(old.last_seen_at or now, now)
    client = {"REMOTE_ADDR": old.ip_address, "HTTP_USER_AGENT": old.user_agent}
    known = {name: value for name, value in context.client_columns(client).items() if value}
    return {
        # Nobody knows when the user authenticated, so the session is not fresh.
        "authenticated_at": None,
        "imported_at": now,
        "created_at": min(old.created_at or old.first_seen_at or seen_at, seen_at),
        "last_seen_at": seen_at,
        "expires_at": min(old.expires_at or columns["expires_at"], columns["expires_at"]),
        **known,
    }


def _import(
    store: SessionStore, source: Source, old: OldSession, digest: str
) -> AbstractSession | None:
    rows = store.rows
    user = user_of(old.data, rows.model)
    if user is not None:
        (old,) = completed({store.session_key or "": old}).values()
    row = new_row(type(store), old, user=user, digest=digest, meta=store.meta)
    if is_dead(row, old, user, rows) or (source.has_copies and is_copy_of_ended(row, rows)):
        return _find_again(store, digest, is_certain=True)
    key = _key(store, source, digest, is_kept=bool(config.IMPORT_KEEP_SOURCE))
    try:
        is_ours = write(rows, row, key)
    except DatabaseError as error:
        # The database may be read-only for a while: whoever was signed in stays signed in.
        log_failure(f"import a session of {source.name}", error)
        store.uncommitted.keep_import(_presented(store), is_written=False)
        row._state.db = rows.alias
        return row
    if not is_ours:
        return _find_again(store, digest, is_certain=False)
    store.uncommitted.keep_import(_presented(store), is_written=True)
    imported = _Imported(row, old, user, source, store.session_key or "")
    transaction.on_commit(imported.finish, using=rows.alias)
    return row


def _find_again(store: SessionStore, digest: str, *, is_certain: bool) -> AbstractSession | None:
    """Return the row that a parallel request has imported since the caller has looked for it; None if none has.

    Then the token counts as unknown for a while, if it ``is_certain`` that no other engine knows it.
    """
    # Not from a cache or a replica, which may not know of the row yet.
    row = store.rows.find_not_ended(digest)
    if row is None and is_certain:
        unknown_tokens.add(digest)
    return row


def is_dead(row: AbstractSession, old: OldSession, user: Any, rows: Rows) -> bool:
    """Return whether the session has expired by the timeouts of this site, was imported before, or is forbidden."""
    is_imported = ImportedKey.objects.using(rows.alias).filter(digest=row.token_digest).exists()
    return (
        is_imported or not row.is_active() or is_forbidden(user, old.created_at, using=rows.alias)
    )


def write(rows: Rows, row: AbstractSession, key: ImportedKey) -> bool:
    """Insert the row and write down the key, or neither; return False if another request has done it before."""
    try:
        with transaction.atomic(using=rows.alias):
            key.save(force_insert=True, using=rows.alias)
            return rows.insert(row)
    except IntegrityError:
        if ImportedKey.objects.using(rows.alias).filter(digest=key.digest).exists():
            return False
        raise


@dataclass(frozen=True, repr=False)
class _Imported:
    """What is left to do after the commit. Without a repr: error reports show callbacks that wait for a commit."""

    row: AbstractSession
    old: OldSession
    user: Any
    source: Source
    key: str

    def finish(self) -> None:
        """Delete the session in the other store, and end it here if it may not stay."""
        row, user, source = self.row, self.user, self.source
        using = row._state.db or ""
        events.SESSION_IMPORTED.log(session_id=row.pk, user_id=row.user_id, source=source.name)
        with best_effort("end a session that was imported too late", using=using):
            # All sessions of the user may have ended between the first look at the barriers and the commit.
            if is_forbidden(user, self.old.created_at, using=using):
                sessions.revoke(row)
        if not config.IMPORT_KEEP_SOURCE and not self._delete_in_source():
            with best_effort("write down what to delete later", using=using):
                kept = ImportedKey.objects.using(using).filter(digest=row.token_digest)
                kept.update(sealed_key=seal(self.key, row.token_digest) if source.can_keep else "")
        if user is not None:
            with best_effort("end the sessions beyond the limit", using=using):
                sessions.enforce_limit(user, keep=row)

    def _delete_in_source(self) -> bool:
        """Delete the session in the other store; return whether that has succeeded."""
        with best_effort(
            f"delete an imported session of {self.source.name}", using=self.source.alias
        ):
            self.source.delete(self.key)
            return True
        return False
