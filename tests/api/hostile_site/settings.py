SECRET_KEY = "known to everybody, used by the tests alone"
USE_TZ = False
TIME_ZONE = "Asia/Tokyo"
ROOT_URLCONF = "tests.api.hostile_site.urls"
ALLOWED_HOSTS = ["*"]
AUTH_USER_MODEL = "hostile_site.Person"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]

INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "rest_framework",
    "django_sessions_plus",
    "tests.api.hostile_site",
]

# No CSRF middleware, no user from the package, and everybody must be signed in.
MIDDLEWARE = [
    "django_sessions_plus.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.auth.middleware.LoginRequiredMiddleware",
]

SESSION_ENGINE = "django_sessions_plus.backends.db"
SESSION_COOKIE_NAME = "biscuit"
SESSION_SAVE_EVERY_REQUEST = True
SESSIONS_PLUS_USER_FIELDS = [
    "email",
    "portrait",
    "friend",
    "birthday",
    "secret",
    "friends",
    "last_login",
    "password",
    "nickname",
]
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": ":memory:",
        "ATOMIC_REQUESTS": True,
    }
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

_POLICIES = "tests.api.hostile_site.policies"
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [f"{_POLICIES}.Nobody"],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAdminUser"],
    "DEFAULT_THROTTLE_CLASSES": [f"{_POLICIES}.Never"],
    "DEFAULT_RENDERER_CLASSES": [f"{_POLICIES}.Backwards"],
    "DEFAULT_PARSER_CLASSES": [f"{_POLICIES}.Unreadable"],
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": f"{_POLICIES}.Nothing",
    "DEFAULT_METADATA_CLASS": f"{_POLICIES}.Talkative",
    "DEFAULT_VERSIONING_CLASS": "rest_framework.versioning.AcceptHeaderVersioning",
    "DEFAULT_VERSION": "1",
    "ALLOWED_VERSIONS": ["1"],
    "EXCEPTION_HANDLER": f"{_POLICIES}.explode",
    "UNAUTHENTICATED_USER": None,
    "FORMAT_SUFFIX_KWARG": "id",
    "DATETIME_FORMAT": "%d.%m.%Y",
    "NON_FIELD_ERRORS_KEY": "oops",
    "STRICT_JSON": False,
    "UNICODE_JSON": False,
}
