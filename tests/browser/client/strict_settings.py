"""The site of the client's tests without a grace for refreshes, and with pages of another origin."""

import os
from datetime import timedelta
from importlib.util import find_spec

from tests.browser.client.settings import *  # noqa: F403
from tests.browser.client.settings import INSTALLED_APPS as BASE_APPS
from tests.browser.client.settings import MIDDLEWARE as BASE_MIDDLEWARE

# Only its attempt makes a refresh that is repeated no reuse.
SESSIONS_PLUS_REFRESH_GRACE = timedelta(0)
# Longer than the answers take that the tests delay.
SESSIONS_PLUS_JWT_ACCESS_AGE = timedelta(minutes=1)

# As docs/browser-client.md has it.
OTHER_ORIGIN = os.environ["OTHER_ORIGIN"]
if find_spec("corsheaders"):
    INSTALLED_APPS = [*BASE_APPS, "corsheaders"]
    MIDDLEWARE = ["corsheaders.middleware.CorsMiddleware", *BASE_MIDDLEWARE]
CORS_ALLOWED_ORIGINS = [OTHER_ORIGIN]
CORS_EXPOSE_HEADERS = ["Retry-After", "Session-Token", "WWW-Authenticate", "X-CSRFToken"]
CORS_ALLOW_CREDENTIALS = True
CSRF_TRUSTED_ORIGINS = [OTHER_ORIGIN]
