"""The example site for Schemathesis: any number of attempts, passwords that cost nothing, public keys."""

import os

from tests.example_settings import *  # noqa: F403

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
SESSIONS_PLUS_RATES = dict.fromkeys(
    ("sign_in", "sign_in_address", "reauthenticate", "refresh", "introspect", "revoke_token")
)
SESSIONS_PLUS_JWT_KEYS = [{"algorithm": "EdDSA", "file": os.environ["ACCESS_KEY"]}]
SESSIONS_PLUS_JWT_ISSUER = SESSIONS_PLUS_JWT_AUDIENCE = "https://site.example"
SESSIONS_PLUS_TOKEN_AUDIENCES = ["https://reports.example"]
