"""Checks of ``SESSIONS_PLUS_SIGN_IN``: the API's sign-in must not ask for less than the site's own sign-in page."""

from django.apps import apps
from django.core.checks import Tags

from django_sessions_plus.accounts.second_factors import ASKED
from django_sessions_plus.checks.lookups import is_mounted
from django_sessions_plus.checks.registry import Problems, check, is_set, problem
from django_sessions_plus.conf import PREFIX

_SIGN_IN = "django_sessions_plus_api:sign-in"
# Apps with second factors that the default hook does not know.
UNKNOWN_TO_THE_DEFAULT = ("deux", "kagi", "mfa", "mfa3", "multifactor", "trench")


@check(Tags.security)
def check_second_factors_are_asked_for() -> Problems:
    """Find apps with second factors that the API's sign-in does not ask for."""
    unknown = [app for app in UNKNOWN_TO_THE_DEFAULT if apps.is_installed(app)]
    if unknown and not is_set("SIGN_IN") and is_mounted(_SIGN_IN):
        yield problem(
            "W034",
            f"{', '.join(unknown)} is installed, and the API's sign-in does not know it: a password"
            " alone signs in, without the second factor.",
            f"Let {PREFIX}SIGN_IN name a function that asks it, or set it to False; see"
            " docs/second-factors.md.",
        )


@check(Tags.security)
def check_who_is_refused() -> Problems:
    """Find packages whose users the API's sign-in refuses by default."""
    known = [app for app in ASKED if apps.is_installed(app)]
    if known and not is_set("SIGN_IN") and is_mounted(_SIGN_IN):
        yield problem(
            "I007",
            f"{', '.join(known)} is installed: the API refuses to sign in users whom the site's own"
            " sign-in page would ask for more than the password.",
            f"Set {PREFIX}SIGN_IN to its default to confirm that, to False to leave the endpoint"
            " out, or to a function of yours; see docs/second-factors.md.",
        )
