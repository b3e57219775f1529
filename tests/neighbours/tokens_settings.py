"""A site whose apps have tokens of rest_framework.authtoken, by djoser's endpoints too, and of django-rest-knox."""

from tests.settings import *  # noqa: F403
from tests.settings import INSTALLED_APPS as BASE_APPS

ROOT_URLCONF = "tests.neighbours.tokens_urls"
INSTALLED_APPS = [*BASE_APPS, "rest_framework.authtoken", "knox", "djoser"]
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["django_sessions_plus.contrib.authtoken.TokenAuthentication"]
}
SESSIONS_PLUS_IMPORT_FROM = ["authtoken", "knox"]
