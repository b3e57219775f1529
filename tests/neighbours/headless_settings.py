"""A site with the headless API of allauth, whose apps send the session's key in a header of allauth's own."""

from tests.settings import *  # noqa: F403
from tests.settings import INSTALLED_APPS as BASE_APPS
from tests.settings import MIDDLEWARE as BASE_MIDDLEWARE

ROOT_URLCONF = "tests.neighbours.headless_urls"
INSTALLED_APPS = [*BASE_APPS, "allauth", "allauth.account", "allauth.headless"]
MIDDLEWARE = [*BASE_MIDDLEWARE, "allauth.account.middleware.AccountMiddleware"]
AUTHENTICATION_BACKENDS = [
    "django.contrib.auth.backends.ModelBackend",
    "allauth.account.auth_backends.AuthenticationBackend",
]
ACCOUNT_EMAIL_VERIFICATION = "none"
