"""The site of the tests with users whose keys are e-mail addresses, and without the admin."""

from tests.settings import *  # noqa: F403
from tests.settings import DATABASES, INSTALLED_APPS

INSTALLED_APPS = [
    "tests.custom.members",
    *(app for app in INSTALLED_APPS if app not in {"django.contrib.admin", "tests.custom"}),
]
AUTH_USER_MODEL = "members.Member"
ROOT_URLCONF = "tests.custom.urls"
# Beside the suite that started this one.
DATABASES["default"]["TEST"] = {"NAME": f"{DATABASES['default']['NAME']}_email_users"}
if DATABASES["default"]["ENGINE"].endswith("sqlite3"):
    DATABASES["default"]["TEST"] = {}
