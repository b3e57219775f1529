"""What sends e-mails, in the settings that this version of Django has for it."""

from typing import Any

import django

HAS_MAILERS = django.VERSION >= (6, 1)


def sent_by(backend: str, timeout: int | None = None) -> dict[str, Any]:
    """Return the settings for the backend at this path."""
    if not HAS_MAILERS:
        return {"EMAIL_BACKEND": backend, "EMAIL_TIMEOUT": timeout}
    options = {} if timeout is None else {"timeout": timeout}
    return {"MAILERS": {"default": {"BACKEND": backend, "OPTIONS": options}}}
