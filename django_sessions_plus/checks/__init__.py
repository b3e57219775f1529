"""System checks: what is wrong, unsafe or without effect in a project's settings.

Importing this package registers them. Every message has a stable id and a hint that
says what to do; ``docs/checks.md`` lists them all.
"""

from django_sessions_plus.checks import (
    cache,
    cookies,
    installation,
    jwt,
    notices,
    pages,
    timeouts,
    values,
)

__all__ = ["cache", "cookies", "installation", "jwt", "notices", "pages", "timeouts", "values"]
