"""A site whose views read bearer credentials of three other packages beside ours."""

from tests.settings import *  # noqa: F403
from tests.settings import INSTALLED_APPS as BASE_APPS

INSTALLED_APPS = [*BASE_APPS, "rest_framework.authtoken", "oauth2_provider", "knox"]
REST_KNOX = {"AUTH_HEADER_PREFIX": "Bearer"}
