"""What an app beside the previous engine has recorded of its sessions: their address, browser and times. No writes.

Such an app stores a row of its own for each session, which it finds by the session's key.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from django.apps import apps
from django.utils.module_loading import import_string
from django.views.decorators.debug import sensitive_variables

from django_sessions_plus.switching.sources.base import OldSession

COMPANIONS = {
    "allauth.usersessions": "django_sessions_plus.contrib.allauth.usersessions.recorded",
}
"""Which apps are known, and the callable for each that takes keys and returns what it has recorded, by the key."""


@sensitive_variables()
def completed(olds: dict[str, OldSession]) -> dict[str, OldSession]:
    """Return these sessions, which are by their keys, with what their engine does not know and an installed app does.

    One query if such an app is installed. Never raises: what fails is logged.
    """
    done = dict(olds)
    for app, path in COMPANIONS.items():
        if apps.is_installed(app):
            found: dict[str, dict[str, Any]] = import_string(path)(list(done))
            for key, known in found.items():
                missing = {name: known[name] for name in known if getattr(done[key], name) is None}
                done[key] = replace(done[key], **missing)
    return done
