"""The example site with access tokens that expire while a test looks on."""

from datetime import timedelta

from tests.example_settings import *  # noqa: F403

# Less the random part, which is up to 5 %, these are always six whole seconds.
SESSIONS_PLUS_JWT_ACCESS_AGE = timedelta(seconds=6.35)
SESSIONS_PLUS_JWT_LEEWAY = timedelta(0)
# So many sign-ins from one address are a test and no attack.
SESSIONS_PLUS_RATES = {"sign_in": None}
