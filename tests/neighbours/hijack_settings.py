"""A site whose staff can act for others by django-hijack."""

from tests.settings import *  # noqa: F403
from tests.settings import INSTALLED_APPS as BASE_APPS
from tests.settings import MIDDLEWARE as BASE_MIDDLEWARE

ROOT_URLCONF = "tests.neighbours.hijack_urls"
INSTALLED_APPS = [*BASE_APPS, "hijack"]
MIDDLEWARE = [*BASE_MIDDLEWARE, "hijack.middleware.HijackUserMiddleware"]
LOGIN_REDIRECT_URL = LOGOUT_REDIRECT_URL = "/who"
