"""The abstract model of a session's row: the base of the package's model, and of a project's own.

Importing it needs no installed app, so that a project's own engine module can
contain both its model and its store, as with Django's database-backed sessions.

Longer than other modules, because every column stands here with what it means.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from datetime import datetime
from importlib import import_module
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db import connections, models, router, transaction
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from django_sessions_plus import devices, policy, tokens
from django_sessions_plus.bulk.deleting import cascade_within_database, set_null_within_database
from django_sessions_plus.conf import config, lifetimes
from django_sessions_plus.conf.engine import engine
from django_sessions_plus.querysets import SessionQuerySet, copying_store

if TYPE_CHECKING:
    from django.contrib.sessions.backends.base import SessionBase

NAME_LENGTH = 100


class AbstractSession(models.Model):
    """One session. Its ``id`` is public; of its token only a digest is stored."""

    id = models.UUIDField(_("id"), primary_key=True, default=tokens.make_id, editable=False)
    token_digest = models.CharField(_("token digest"), max_length=64, editable=False)
    # No constraint in the database: the users may be in another database, and a session
    # whose user was deleted must be anonymous, not an error.
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=cascade_within_database,
        null=True,
        blank=True,
        db_constraint=False,
        db_index=False,
        related_name="+",
        verbose_name=_("user"),
    )
    session_data = models.TextField(_("session data"), blank=True, editable=False)
    version = models.PositiveBigIntegerField(_("version"), default=0, editable=False)
    created_at = models.DateTimeField(_("created"), default=timezone.now)
    authenticated_at = models.DateTimeField(_("signed in"), null=True, blank=True)
    # When it was imported from another session engine; None for a session that started here.
    imported_at = models.DateTimeField(_("imported"), null=True, blank=True, editable=False)
    # Set by SESSIONS_PLUS_CONTEXT_POLICY = "reauthenticate", until the user authenticates again.
    reauthentication_required = models.BooleanField(
        _("must authenticate again"), default=False, editable=False
    )
    # Translators: when the moment of expiry was last moved on.
    updated_at = models.DateTimeField(_("expiry moved"), default=timezone.now)
    last_seen_at = models.DateTimeField(_("last seen"), default=timezone.now)
    expires_at = models.DateTimeField(_("expires"))
    # The expiry that the browser's cookie was last sent with. If it differs from expires_at, another
    # transport has moved the expiry, and the cookie is sent again. None if no cookie was sent.
    cookie_expires_at = models.DateTimeField(
        _("cookie expires"), null=True, blank=True, editable=False
    )
    ip_address = models.GenericIPAddressField(_("IP address"), null=True, blank=True)
    user_agent = models.CharField(
        _("user agent"), max_length=devices.USER_AGENT_LENGTH, null=True, blank=True
    )
    # Given to a token by the operator who issued it; using the session never changes it.
    name = models.CharField(_("name"), max_length=NAME_LENGTH, blank=True, default="")
    remember = models.BooleanField(_("remember"), default=True)
    # The transport that the session started with: "cookie", "bearer" or "jwt", or "token" for
    # one of another package, which was imported. It never changes.
    transport = models.CharField(_("transport"), max_length=16, default="cookie", editable=False)
    ended_at = models.DateTimeField(_("ended"), null=True, blank=True)
    ended_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=set_null_within_database,
        null=True,
        blank=True,
        db_constraint=False,
        related_name="+",
        verbose_name=_("ended by"),
    )
    # Without choices: a project may end sessions for reasons of its own.
    end_reason = models.CharField(_("end reason"), max_length=32, blank=True, default="")
    # The digest of the current refresh token, when the first token of its family was issued, and
    # when the previous one was rotated. No index: a refresh token contains the row's id.
    refresh_digest = models.CharField(
        _("refresh token digest"), max_length=64, null=True, blank=True, editable=False
    )
    refresh_started_at = models.DateTimeField(
        _("refresh tokens since"), null=True, blank=True, editable=False
    )
    refreshed_at = models.DateTimeField(_("refreshed"), null=True, blank=True, editable=False)
    # About the last refresh: the digest of the client's attempt, and how often a retry is still
    # answered. confirmed_refreshed_at equals refreshed_at once the client is known to have the answer.
    refresh_attempt = models.CharField(
        _("refresh attempt digest"), max_length=64, null=True, blank=True, editable=False
    )
    refresh_replays_left = models.PositiveSmallIntegerField(
        _("refresh replays left"), default=0, editable=False
    )
    confirmed_refreshed_at = models.DateTimeField(
        _("refresh confirmed"), null=True, blank=True, editable=False
    )
    # When the session was last used from another network or browser, and the address and user agent
    # before that. Of these two, the one that did not change is empty; no request reads them.
    context_changed_at = models.DateTimeField(
        _("network or browser changed"), null=True, blank=True, editable=False
    )
    previous_ip_address = models.GenericIPAddressField(
        _("previous IP address"), null=True, blank=True, editable=False
    )
    previous_user_agent = models.CharField(
        _("previous user agent"),
        max_length=devices.USER_AGENT_LENGTH,
        null=True,
        blank=True,
        editable=False,
    )

    objects = SessionQuerySet.as_manager()

    is_reauthentication_due = False
    """Whether the user has to enter the password in this request before the session is fresh. Not stored."""

    class Meta:
        abstract = True
        # A cascade uses the base manager. With Django's, cached copies of deleted rows would stay.
        base_manager_name = "objects"
        verbose_name = _("session")
        verbose_name_plural = _("sessions")
        constraints = [
            # Not unique=True: on PostgreSQL, Django would then create a second index, for LIKE.
            models.UniqueConstraint(fields=["token_digest"], name="%(class)s_token"),
        ]
        indexes = [
            # For the active sessions of a user; for NULL, the anonymous rows that the purge deletes.
            models.Index(fields=["user", "expires_at"], name="%(class)s_live"),
            # For signed-in rows whose retention has passed.
            models.Index(fields=["expires_at"], name="%(class)s_purge"),
            # For expired rows that the purge has not marked yet: they have no reason. With ended_at as
            # the first column, planners would also choose this index for queries of active sessions.
            models.Index(fields=["end_reason", "expires_at"], name="%(class)s_expired"),
        ]

    def __str__(self) -> str:
        return str(self.pk)

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Save as Django does, and invalidate the cached copies of a row that existed before."""
        with nullcontext() if self._state.adding else self._invalidated_copies(kwargs):
            super().save(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        """Delete as Django does, invalidate the cached copies, and delete what an import has left in its source."""
        with self._invalidated_copies(kwargs):
            deleted = super().delete(*args, **kwargs)
        if self.imported_at is not None:
            # By its path, because it builds on this module.
            importing = import_module("django_sessions_plus.backends.importing")
            importing.delete_in_source(self, self._state.db or router.db_for_write(type(self)))
        return deleted

    @contextmanager
    def _invalidated_copies(self, options: dict[str, Any]) -> Iterator[None]:
        """Invalidate the copies before what the block writes is committed, in a transaction of its own if needed."""
        if (store := copying_store(type(self))) is None:
            yield
            return
        # As Django chooses it.
        using = options.get("using") or router.db_for_write(type(self), instance=self)
        atomic = nullcontext if connections[using].in_atomic_block else transaction.atomic
        with atomic(using):
            yield
            store.invalidate([self.token_digest], using)

    @classmethod
    def get_session_store_class(cls) -> type[SessionBase]:
        """Return the store that reads this model's data: by default the configured engine's."""
        return engine()

    @classmethod
    def are_users_in(cls, alias: str | None) -> bool:
        """Return whether the users are in the database ``alias``, so that a query of sessions there can join them."""
        if not router.routers:
            return True
        users: Any = cls._meta.get_field("user").related_model
        return router.db_for_read(users) == alias

    def get_decoded(self) -> dict[str, Any]:
        """Return the data as it was stored; empty once the session has ended, or if the text is damaged (logged)."""
        return self.get_session_store_class()().decode(self.session_data)

    def status(self, now: datetime | None = None) -> policy.Status:
        """Return whether the session is active, ended or expired at ``now`` (default: this moment)."""
        return policy.status(
            ended_at=self.ended_at,
            expires_at=self.expires_at,
            since=self.limited_from,
            absolute_age=lifetimes.absolute_age(self.transport),
            now=now or timezone.now(),
            end_reason=self.end_reason,
        )

    @property
    def timeout(self) -> policy.Timeout:
        """Return which timeout sets the expiry, by today's settings; see ``policy.timeout()``."""
        return policy.timeout(
            expires_at=self.expires_at,
            since=self.limited_from,
            absolute_age=lifetimes.absolute_age(self.transport),
        )

    @property
    def limited_from(self) -> datetime | None:
        """The time from which the absolute timeout counts; None while nobody is signed in."""
        return policy.limited_from(
            user_id=self.user_id,
            authenticated_at=self.authenticated_at,
            started_at=self.imported_at or self.created_at,
        )

    @property
    def limited_until(self) -> datetime | None:
        """The time at which the absolute timeout is reached; None if there is none."""
        return policy.deadline(self.limited_from, lifetimes.absolute_age(self.transport))

    @property
    def refresh_limited_until(self) -> datetime | None:
        """The time at which its refresh tokens expire, though the session may go on; None without a limit."""
        return policy.deadline(self.refresh_started_at, lifetimes.absolute_age("jwt"))

    @property
    def refresh_expires_at(self) -> datetime:
        """The time at which its refresh tokens expire: with the session, or before that at their own limit."""
        expires_at = policy.capped(self.expires_at, self.limited_until)
        return policy.capped(expires_at, self.refresh_limited_until)

    def is_active(self, now: datetime | None = None) -> bool:
        """Return whether the session can be used at ``now`` (default: this moment).

        ``SessionQuerySet.active()`` is the same rule in SQL.
        """
        return self.status(now) is policy.Status.ACTIVE

    def is_fresh(self, now: datetime | None = None) -> bool:
        """Return whether the user authenticated within ``SESSIONS_PLUS_FRESH_AGE`` of ``now`` (default: this moment).

        A session that was started for a user, without a password, is not fresh until the user
        authenticates in it. Nor is one that was used from another network or browser since the user
        authenticated, if ``SESSIONS_PLUS_CONTEXT_POLICY`` is "reauthenticate".
        """
        if self.needs_password:
            return False
        return policy.is_fresh(
            authenticated_at=self.authenticated_at,
            fresh_age=config.FRESH_AGE,
            now=now or timezone.now(),
        )

    @property
    def needs_password(self) -> bool:
        """Whether the session was used from another network or browser since the user authenticated, or is right now.

        Always False unless ``SESSIONS_PLUS_CONTEXT_POLICY`` is "reauthenticate".
        """
        return self.is_reauthentication_due or self.reauthentication_required

    @property
    def access(self) -> policy.Access:
        """How the session is used, as far as its row shows."""
        return policy.access(
            user_id=self.user_id,
            authenticated_at=self.authenticated_at,
            imported_at=self.imported_at,
            refresh_started_at=self.refresh_started_at,
            user_agent=self.user_agent,
        )

    @property
    def end_reason_label(self) -> str:
        """Why the session ended or expired, in words; a project's own reason as it is. Empty while it is active."""
        reason = self.end_reason
        if not reason and self.status() is policy.Status.EXPIRED:
            # The purge will record the same.
            reason = self.timeout
        labels = dict([*policy.EndReason.choices, *policy.Timeout.choices])
        return str(labels.get(reason, reason))

    @property
    def device(self) -> devices.Device:
        """The device as people know it, read from the recorded user agent."""
        return devices.parse(self.user_agent)
