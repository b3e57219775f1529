"""What must be remembered so that nothing that ended here can be imported again.

Both tables have to be in the database of the sessions: a row of theirs is written together with a session.
"""

from __future__ import annotations

from django.db import models
from django.utils import timezone


class ImportedKey(models.Model):
    """A session key of the other engine whose session was imported, and may not be imported a second time.

    Kept until the tables are dropped: the session may have got another token, or been ended and purged,
    and the other store may have it again, because a process of the previous deployment has saved it.
    """

    # The digest that the token of the imported session has. The key itself is not stored.
    digest = models.CharField(max_length=64, editable=False)
    source = models.CharField(max_length=200, editable=False)
    imported_at = models.DateTimeField(default=timezone.now, editable=False)
    # The key, encrypted, if the other store keeps the session, which has to be deleted there when it ends here.
    sealed_key = models.CharField(max_length=512, blank=True, editable=False)

    class Meta:
        constraints = [
            # Not unique=True: on PostgreSQL, Django would then create a second index, for LIKE.
            models.UniqueConstraint(fields=["digest"], name="switching_digest"),
        ]

    def __str__(self) -> str:
        return f"{self.source} {self.pk}"


class ImportBarrier(models.Model):
    """A time before which no session of a user, or of anybody, may be imported any more.

    Written when all sessions of the user end at once, or everybody's: those that were not imported yet
    must end too.
    """

    # The primary key of the user as text; empty for all users.
    user_key = models.CharField(max_length=255, blank=True, editable=False)
    before = models.DateTimeField(editable=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["user_key"], name="switching_user"),
        ]

    def __str__(self) -> str:
        return f"{self.user_key or '*'} {self.before}"
