"""System checks that find settings which are wrong, unsafe or without effect.

Importing this package registers them. Every message has a stable id and a hint that says what to
do; see ``docs/checks.md``.
"""

from django_sessions_plus.checks import (
    alerts,
    cache,
    cache_values,
    cookies,
    fast_path,
    installation,
    jwt,
    leasing,
    pages,
    second_factors,
    switching,
    timeouts,
    tokens,
    values,
)

__all__ = [
    "alerts",
    "cache",
    "cache_values",
    "cookies",
    "fast_path",
    "installation",
    "jwt",
    "leasing",
    "pages",
    "second_factors",
    "switching",
    "timeouts",
    "tokens",
    "values",
]
