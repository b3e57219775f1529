"""The example site behind development servers that keep the name of the host, or do not."""

import os

from tests.example_settings import *  # noqa: F403

# So many sign-ins from one address are a test and no attack.
SESSIONS_PLUS_RATES = {"sign_in": None}
CSRF_TRUSTED_ORIGINS = os.environ["TRUSTED"].split()


def card(user):
    """Return what the snippets of other documents ask for."""
    return {
        "username": user.username,
        "email": user.email,
        "name": user.get_full_name() or user.username,
        "role": "staff" if user.is_staff else "member",
    }


SESSIONS_PLUS_USER_FIELDS = card
