"""The example site whose administrators see the page that goes on, and never have to wait."""

from tests.example_settings import *  # noqa: F403

ROOT_URLCONF = "tests.browser.hasty_urls"
