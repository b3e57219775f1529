"""A site whose people sign in by dj-rest-auth, with a session and a token of REST framework's."""

from tests.settings import *  # noqa: F403
from tests.settings import INSTALLED_APPS as BASE_APPS

ROOT_URLCONF = "tests.neighbours.dj_rest_auth_urls"
INSTALLED_APPS = [*BASE_APPS, "rest_framework.authtoken", "dj_rest_auth"]
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "django_sessions_plus.api.authentication.CookieAuthentication",
        "rest_framework.authentication.TokenAuthentication",
    ]
}
REST_AUTH = {"OLD_PASSWORD_FIELD_ENABLED": True}
