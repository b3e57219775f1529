"""The example site as it is, but quicker: neither how slowly a password is checked is tested on it, nor its server."""

from django.core.servers.basehttp import WSGIRequestHandler

from example_project.settings import *  # noqa: F403

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]

# Its answers go out in two writes, and without this the second waits for what the browser delays: 40 ms.
WSGIRequestHandler.disable_nagle_algorithm = True
