"""The same site with the CSRF token in the session, where no script can read it."""

from tests.browser.client.settings import *  # noqa: F403

CSRF_USE_SESSIONS = True
