"""A site whose people have tokens of simplejwt, some in the cookies of dj-rest-auth."""

from tests.settings import *  # noqa: F403
from tests.settings import INSTALLED_APPS as BASE_APPS

ROOT_URLCONF = "tests.neighbours.simplejwt_urls"
INSTALLED_APPS = [
    *BASE_APPS,
    "django.contrib.sessions",
    "rest_framework_simplejwt.token_blacklist",
    "dj_rest_auth",
]
# REST framework imports these when its views are imported.
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "django_sessions_plus.api.authentication.AccessTokenAuthentication",
        "django_sessions_plus.contrib.dj_rest_auth.JWTCookieAuthentication",
        "django_sessions_plus.contrib.simplejwt.JWTAuthentication",
    ]
}
REST_AUTH = {
    "USE_JWT": True,
    "TOKEN_MODEL": None,
    "SESSION_LOGIN": False,
    "JWT_AUTH_COOKIE": "app-auth",
    "JWT_AUTH_REFRESH_COOKIE": "app-refresh",
}
SESSIONS_PLUS_IMPORT_FROM = ["simplejwt"]
