"""The site of the tests with users that have UUIDs for keys, and without the admin."""

from tests.settings import *  # noqa: F403
from tests.settings import DATABASES, INSTALLED_APPS

INSTALLED_APPS = [
    "tests.custom.people",
    *(app for app in INSTALLED_APPS if app not in {"django.contrib.admin", "tests.custom"}),
]
AUTH_USER_MODEL = "people.Person"
ROOT_URLCONF = "tests.custom.urls"
# Beside the suite that started this one.
DATABASES["default"]["TEST"] = {"NAME": f"{DATABASES['default']['NAME']}_uuid_users"}
if DATABASES["default"]["ENGINE"].endswith("sqlite3"):
    DATABASES["default"]["TEST"] = {}
