"""A site with the sessions page of allauth, which has been on Django's own engine."""

from tests.neighbours.headless_settings import *  # noqa: F403
from tests.settings import INSTALLED_APPS as BASE_APPS

ROOT_URLCONF = "tests.neighbours.usersessions_urls"
INSTALLED_APPS = [
    *BASE_APPS,
    "django.contrib.humanize",
    "django.contrib.sessions",
    "allauth",
    "allauth.account",
    "allauth.usersessions",
]
