"""Entries of the admin's log, which is the history of an object."""

from __future__ import annotations

from typing import Any

from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.contenttypes.models import ContentType
from django.db.models import Model


def log_entry(actor: Any, model: type[Model], key: Any, message: str) -> LogEntry:
    """Return an entry of the admin's log, unsaved."""
    # Ids and numbers only: the log is kept longer than sessions and users. Not translated,
    # because the reader's language may be another one.
    return LogEntry(
        user_id=actor.pk,
        content_type=ContentType.objects.get_for_model(model),
        object_id=str(key),
        object_repr=f"{model._meta.model_name} {key}",
        action_flag=CHANGE,
        change_message=message,
    )
