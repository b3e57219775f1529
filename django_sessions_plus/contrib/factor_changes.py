"""Report second factors that are added, confirmed or removed, of packages that keep them in models.

By the signals of the models, so that it does not matter whether a page, the admin or a command did it.
``QuerySet.update()`` sends none and goes unnoticed, as everywhere in Django.
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
    """Report changes of the rows of ``model``, each of which is a factor of its ``user``.

    ``name_of`` returns what the log and ``credential_changed`` call a factor. ``confirmed`` names the
    column without which a row is no factor yet; None if each is one.
    """

    def is_confirmed(instance: Any) -> bool:
        # A column that was not read is not asked for: nothing has changed it.
        return confirmed is None or bool(vars(instance).get(confirmed, True))

    def remember(instance: Any, **kwargs: Any) -> None:
        vars(instance)[_WAS_CONFIRMED] = is_confirmed(instance)

    def report_saved(instance: Any, created: bool, raw: bool, using: str, **kwargs: Any) -> None:
        was_confirmed = not created and vars(instance).get(_WAS_CONFIRMED, True)
        if is_confirmed(instance) and not was_confirmed and not raw:
            report_changed_credential(instance.user, name_of(instance), using=using)
        remember(instance)

    def report_deleted(instance: Any, using: str, origin: Any = None, **kwargs: Any) -> None:
        # Not what goes with a deleted user: there is nobody to tell.
        deleted = origin.model if isinstance(origin, QuerySet) else type(origin)
        if is_confirmed(instance) and issubclass(deleted, model):
            report_changed_credential(instance.user, name_of(instance), using=using)

    uid = f"django_sessions_plus.factor_changes.{model._meta.label}"
    if confirmed is not None:
        post_init.connect(remember, sender=model, weak=False, dispatch_uid=uid)
    post_save.connect(report_saved, sender=model, weak=False, dispatch_uid=uid)
    post_delete.connect(report_deleted, sender=model, weak=False, dispatch_uid=uid)
