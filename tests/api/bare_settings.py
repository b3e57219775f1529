"""The suite's site with the API, for processes of their own."""

from tests.settings import *  # noqa: F403

ROOT_URLCONF = "tests.api.urls"
