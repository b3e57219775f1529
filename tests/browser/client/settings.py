"""The example site with access tokens that expire while a test looks on."""

from datetime import timedelta

from django.core.servers.basehttp import WSGIRequestHandler

from example_project.settings import *  # noqa: F403

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
SESSIONS_PLUS_JWT_ACCESS_AGE = timedelta(seconds=6)
SESSIONS_PLUS_JWT_JITTER = 0
SESSIONS_PLUS_JWT_LEEWAY = timedelta(0)
# So many sign-ins from one address are a test and no attack.
SESSIONS_PLUS_SIGN_IN_RATE = None

# Its answers go out in two writes, and without this the second waits for what the browser delays: 40 ms.
WSGIRequestHandler.disable_nagle_algorithm = True
