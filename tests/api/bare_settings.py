"""The suite's site with the API, for processes of their own."""

from tests.settings import *  # noqa: F403

ROOT_URLCONF = "tests.api.urls"
# Of the length and variety that the checks ask for; of nobody, like the one it replaces.
SECRET_KEY = "bare-0123456789-abcdefghijklmnopqrstuvwxyz-ABCDEFGHIJKLMNOPQRSTUVWXYZ"
