"""Report that a second factor was added, confirmed or removed, for packages that store factors in models.

The models' signals are used, so a page, the admin and a command are all noticed. ``QuerySet.update()``
sends no signals, so its changes are not.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.db.models import Model, QuerySet
from django.db.models.signals import post_delete, post_init, post_save

from django_sessions_plus.accounts.credential_changes import report_changed_credential

_WAS_CONFIRMED = "_sessions_plus_was_confirmed"


def watch(
    model: type[Model], name_of: Callable[[Any], str], *, confirmed: str | None = None
) -> None:
    """Report changes of the rows of ``model``; each row is a second factor of its ``user``.

    ``name_of`` returns the name of a factor in the log and in ``credential_changed``. ``confirmed`` is the
    name of a boolean column: a row counts as a factor while it is true. With None, every row counts.
    """

    def is_confirmed(instance: Any) -> bool:
        # A deferred column has not been changed; reading it here would cost a query.
        return confirmed is None or bool(vars(instance).get(confirmed, True))

    def remember(instance: Any, **kwargs: Any) -> None:
        vars(instance)[_WAS_CONFIRMED] = is_confirmed(instance)

    def report_saved(instance: Any, created: bool, raw: bool, using: str, **kwargs: Any) -> None:
        was_confirmed = not created and vars(instance).get(_WAS_CONFIRMED, True)
        if is_confirmed(instance) and not was_confirmed and not raw:
            report_changed_credential(instance.user, name_of(instance), using=using)
        remember(instance)

    def report_deleted(instance: Any, using: str, origin: Any = None, **kwargs: Any) -> None:
        # Not for a factor that is deleted together with its user, because nobody is left to notify.
        deleted = origin.model if isinstance(origin, QuerySet) else type(origin)
        if is_confirmed(instance) and issubclass(deleted, model):
            report_changed_credential(instance.user, name_of(instance), using=using)

    uid = f"django_sessions_plus.factor_changes.{model._meta.label}"
    if confirmed is not None:
        post_init.connect(remember, sender=model, weak=False, dispatch_uid=uid)
    post_save.connect(report_saved, sender=model, weak=False, dispatch_uid=uid)
    post_delete.connect(report_deleted, sender=model, weak=False, dispatch_uid=uid)
