"""The example site for Schemathesis: any number of attempts, passwords that cost nothing, public keys."""

import os

from tests.example_settings import *  # noqa: F403

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
SESSIONS_PLUS_SIGN_IN_RATE = None
SESSIONS_PLUS_REAUTHENTICATE_RATE = None
SESSIONS_PLUS_REFRESH_RATE = None
SESSIONS_PLUS_INTROSPECT_RATE = None
SESSIONS_PLUS_REVOKE_TOKEN_RATE = None
SESSIONS_PLUS_JWT_KEYS = [{"algorithm": "EdDSA", "file": os.environ["ACCESS_KEY"]}]
SESSIONS_PLUS_JWT_ISSUER = SESSIONS_PLUS_JWT_AUDIENCE = "https://site.example"
