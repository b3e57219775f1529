"""The example site behind a proxy that speaks TLS, where every retry of a refresh has to prove that it is one."""

from datetime import timedelta

from tests.example_settings import *  # noqa: F403

ROOT_URLCONF = "tests.browser.engines.urls"
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
SESSION_COOKIE_SECURE = True
CSRF_COOKIE_SECURE = True
# A refresh token is good for one use and for retries with its attempt, so that no test has to wait.
SESSIONS_PLUS_REFRESH_GRACE = timedelta(0)
# So many sign-ins from one address are a test and no attack.
SESSIONS_PLUS_RATES = {"sign_in": None}
