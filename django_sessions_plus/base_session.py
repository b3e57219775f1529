"""The row of a session, for projects that add columns as for the package's own model.

Importing it needs no installed app, so that a project's own engine module can
hold both its model and its store, as with Django's database-backed sessions.
"""

from __future__ import annotations

from datetime import datetime
from importlib import import_module
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db import models, router
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from django_sessions_plus import devices, policy, tokens
from django_sessions_plus.conf import config
from django_sessions_plus.querysets import SessionQuerySet, copying_store

if TYPE_CHECKING:
    from django.contrib.sessions.backends.base import SessionBase


class AbstractSession(models.Model):
    """One session. Its ``id`` is public; the token it belongs to is stored only as a digest."""

    id = models.UUIDField(_("id"), primary_key=True, default=tokens.make_id, editable=False)
    token_digest = models.CharField(_("token digest"), max_length=64, editable=False)
    # No constraint in the database: the session table may live in another one, and a
    # session that names a deleted user must be an anonymous visit, not an error.
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.CASCADE,
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
    # Translators: when the moment of expiry was last moved on.
    updated_at = models.DateTimeField(_("expiry moved"), default=timezone.now)
    last_seen_at = models.DateTimeField(_("last seen"), default=timezone.now)
    expires_at = models.DateTimeField(_("expires"))
    ip_address = models.GenericIPAddressField(_("IP address"), null=True, blank=True)
    user_agent = models.CharField(
        _("user agent"), max_length=devices.USER_AGENT_LENGTH, null=True, blank=True
    )
    remember = models.BooleanField(_("remember"), default=True)
    ended_at = models.DateTimeField(_("ended"), null=True, blank=True)
    ended_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        db_constraint=False,
        related_name="+",
        verbose_name=_("ended by"),
    )
    # Without choices: a project may end sessions for reasons of its own.
    end_reason = models.CharField(_("end reason"), max_length=32, blank=True, default="")
    # The digest of the current refresh token, when the first of its line was issued, and when the
    # previous one was rotated. No index: a refresh token names the row's id.
    refresh_digest = models.CharField(
        _("refresh token digest"), max_length=64, null=True, blank=True, editable=False
    )
    refresh_started_at = models.DateTimeField(
        _("refresh tokens since"), null=True, blank=True, editable=False
    )
    refreshed_at = models.DateTimeField(_("refreshed"), null=True, blank=True, editable=False)
    # When the session was last used from another network or browser, and from which before; the
    # one of the two that has not changed is empty. The engine never reads these.
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

    is_in_doubt = False
    """Whether the request that loaded this row needs the password before the session counts as fresh. Not stored."""

    class Meta:
        abstract = True
        # A cascade uses the base manager; by this one the copies of rows it deletes are withdrawn.
        base_manager_name = "objects"
        verbose_name = _("session")
        verbose_name_plural = _("sessions")
        constraints = [
            # Not unique=True, for which Django makes a second index on PostgreSQL, for LIKE.
            models.UniqueConstraint(fields=["token_digest"], name="%(class)s_token"),
        ]
        indexes = [
            # A person's live sessions; with NULL, anonymous rows that the purge may delete.
            models.Index(fields=["user", "expires_at"], name="%(class)s_live"),
            # Signed-in rows whose retention has passed.
            models.Index(fields=["expires_at"], name="%(class)s_purge"),
        ]

    def __str__(self) -> str:
        return str(self.pk)

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Save as Django does, and withdraw the copies of a row that was there."""
        is_new = self._state.adding
        super().save(*args, **kwargs)
        if not is_new:
            self._withdraw_copies()

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        """Delete as Django does, and withdraw the copies."""
        deleted = super().delete(*args, **kwargs)
        self._withdraw_copies()
        return deleted

    def _withdraw_copies(self) -> None:
        store = copying_store(type(self))
        if store is not None:
            store.withdraw([self.token_digest], self._state.db or router.db_for_write(type(self)))

    @classmethod
    def get_session_store_class(cls) -> type[SessionBase]:
        """Return the store that reads this model's data: by default the configured engine's."""
        store: type[SessionBase] = import_module(settings.SESSION_ENGINE).SessionStore
        return store

    def get_decoded(self) -> dict[str, Any]:
        """Return the data exactly as it was stored; empty once the session has ended."""
        return self.get_session_store_class()().decode(self.session_data)

    def status(self, now: datetime | None = None) -> policy.Status:
        """Return whether the session is active, ended or expired at ``now`` (default: this moment)."""
        return policy.status(
            ended_at=self.ended_at,
            expires_at=self.expires_at,
            since=self.limited_from,
            absolute_age=config.ABSOLUTE_AGE,
            now=now or timezone.now(),
        )

    @property
    def limited_from(self) -> datetime | None:
        """The moment from which ``SESSIONS_PLUS_ABSOLUTE_AGE`` counts; None while nobody is signed in."""
        return policy.limited_from(
            user_id=self.user_id,
            authenticated_at=self.authenticated_at,
            created_at=self.created_at,
        )

    def is_active(self, now: datetime | None = None) -> bool:
        """Tell whether the session can be used at ``now``; ``SessionQuerySet.active()`` is its twin in SQL."""
        return self.status(now) is policy.Status.ACTIVE

    def is_fresh(self, now: datetime | None = None) -> bool:
        """Tell whether the person authenticated within ``SESSIONS_PLUS_FRESH_AGE``.

        A session that was started for a user is not fresh before the user has authenticated in it,
        nor is one that is in doubt, see ``SESSIONS_PLUS_CONTEXT_POLICY``.
        """
        return not self.is_in_doubt and policy.is_fresh(
            authenticated_at=self.authenticated_at,
            fresh_age=config.FRESH_AGE,
            now=now or timezone.now(),
        )

    @property
    def access(self) -> policy.Access:
        """How the session is used, as far as its row can tell."""
        return policy.access(
            user_id=self.user_id,
            authenticated_at=self.authenticated_at,
            refresh_started_at=self.refresh_started_at,
            user_agent=self.user_agent,
        )

    @property
    def end_reason_label(self) -> str:
        """The reason of the end in words; the reason itself if it is a project's own."""
        labels = dict(policy.EndReason.choices)
        return str(labels.get(self.end_reason, self.end_reason))

    @property
    def device(self) -> devices.Device:
        """The device as people know it, read from the recorded user agent."""
        return devices.parse(self.user_agent)
