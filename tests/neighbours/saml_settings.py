"""A site with the middleware of djangosaml2, which has a session of its own beside ours."""

from tests.settings import *  # noqa: F403
from tests.settings import MIDDLEWARE as BASE_MIDDLEWARE

ROOT_URLCONF = "tests.neighbours.saml_urls"
# As its documentation has it: after the session middleware.
MIDDLEWARE = [
    BASE_MIDDLEWARE[0],
    "djangosaml2.middleware.SamlSessionMiddleware",
    *BASE_MIDDLEWARE[1:],
]
