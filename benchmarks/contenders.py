"""Who takes part, and what makes each of them what it is. Data only."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from importlib.util import find_spec
from typing import Any

from benchmarks.config import FLAVOURS, POSTGRESQL, PREPARED
from benchmarks.scenarios import API, ASYNC, COOKIE
from django_sessions_plus.conf import declared

DJANGO_SESSION = "django.contrib.sessions.middleware.SessionMiddleware"
DJANGO_AUTHENTICATION = "django.contrib.auth.middleware.AuthenticationMiddleware"
PLUS_SESSION = "django_sessions_plus.middleware.SessionMiddleware"
PLUS_AUTHENTICATION = "django_sessions_plus.middleware.AuthenticationMiddleware"

BASELINES = {COOKIE: "stock_db", ASYNC: "stock_db", API: "api_session"}


@dataclass(frozen=True)
class Contender:
    """One way to have sessions, as a project would set it up."""

    name: str
    label: str
    load: str
    """Which stored data it needs, see loads.py."""
    families: tuple[str, ...]
    engine: str = "django.contrib.sessions.backends.db"
    apps: tuple[str, ...] = ("django.contrib.sessions",)
    session_middleware: str | None = DJANGO_SESSION
    authentication_middleware: str | None = DJANGO_AUTHENTICATION
    extra_middleware: tuple[str, ...] = ()
    cache: str = "locmem"
    credentials: str = "cookie"
    """How a request says who it is, see credentials.py."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    requires: tuple[str, ...] = ()
    requires_setting: str | None = None
    only: tuple[str, ...] | None = None
    """The scenarios it can take part in; None for all."""
    flavours: tuple[str, ...] = FLAVOURS
    always_due: bool = False
    """Whether its sessions are due to be touched from the start."""
    has_leases: bool = False
    """Whether its database announces what has ended, for the engine ``leased_db``."""
    as_flavour: str | None = None
    """The flavour it is run on instead of the suite's."""

    def unavailable(self) -> str | None:
        """Return why it cannot take part; None if it can."""
        for module in self.requires:
            if not _is_importable(module):
                return f"{module} does not exist"
        if self.requires_setting is not None and self.requires_setting not in declared():
            return f"there is no setting {self.requires_setting}"
        return None


def _is_importable(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def _plus(name: str, label: str, **changes: Any) -> Contender:
    values: dict[str, Any] = {
        "load": "plus",
        "families": (COOKIE, ASYNC),
        "engine": "django_sessions_plus.backends.db",
        "apps": ("django_sessions_plus",),
        "session_middleware": PLUS_SESSION,
        "authentication_middleware": PLUS_AUTHENTICATION,
    }
    return Contender(name, label, **(values | changes))


def _api(
    make: Callable[..., Contender],
    name: str,
    label: str,
    authentication: str,
    apps: tuple[str, ...] = (),
    **changes: Any,
) -> Contender:
    own = changes.pop("settings", {})
    rest: dict[str, Any] = {
        "DEFAULT_AUTHENTICATION_CLASSES": [authentication],
        "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
        "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    }
    session_app = "django_sessions_plus" if make is _plus else "django.contrib.sessions"
    return make(
        name,
        label,
        families=(API,),
        apps=(session_app, "rest_framework", *apps),
        settings={"REST_FRAMEWORK": rest, "ROOT_URLCONF": "benchmarks.site.api_urls"} | own,
        **changes,
    )


_CACHED = "django.contrib.sessions.backends.cached_db"
_LEASED: dict[str, Any] = {
    "engine": "django_sessions_plus.backends.leased_db",
    "requires": ("django_sessions_plus.backends.leased_db",),
    "flavours": (POSTGRESQL,),
    "has_leases": True,
    # Of its sessions each is asked for a few times only, and a run takes longer than a minute.
    "settings": {"SESSIONS_PLUS_CACHE_AGE": timedelta(hours=1)},
}
_ALLAUTH = ("allauth", "allauth.account")
# A run must not outlast the tokens.
_DAY_LONG = {"SESSIONS_PLUS_JWT_ACCESS_AGE": timedelta(days=1)}
_ALWAYS = {
    "SESSIONS_PLUS_UPDATE_AGE": timedelta(0),
    "SESSIONS_PLUS_LAST_SEEN_INTERVAL": timedelta(0),
}

CONTENDERS: tuple[Contender, ...] = (
    Contender(
        "floor",
        "floor: the handler without session and auth",
        "django",
        (COOKIE, ASYNC),
        session_middleware=None,
        authentication_middleware=None,
        settings={"ROOT_URLCONF": "benchmarks.site.floor_urls"},
        only=("read", "async_read"),
    ),
    _plus("plus_db", "**django-sessions-plus db**"),
    _plus(
        "plus_plain",
        "django-sessions-plus db, fast path off",
        settings={"SESSIONS_PLUS_FAST_PATH": False},
        requires_setting="SESSIONS_PLUS_FAST_PATH",
    ),
    _plus(
        "plus_due",
        "django-sessions-plus db, expiry and last seen due every time",
        settings=_ALWAYS,
        only=("read", "async_read"),
        always_due=True,
    ),
    _plus(
        "plus_cached",
        "**django-sessions-plus cached_db, Redis**",
        engine="django_sessions_plus.backends.cached_db",
        cache="redis",
        requires=("django_sessions_plus.backends.cached_db",),
    ),
    _plus(
        "plus_leased",
        "**django-sessions-plus leased_db**",
        **_LEASED,
    ),
    Contender("stock_db", "stock db", "django", (COOKIE, ASYNC)),
    Contender(
        "stock_unprepared",
        "stock db, not prepared",
        "django",
        (COOKIE,),
        flavours=(PREPARED,),
        as_flavour=POSTGRESQL,
    ),
    Contender(
        "stock_every",
        "stock db, `SESSION_SAVE_EVERY_REQUEST`",
        "django",
        (COOKIE, ASYNC),
        settings={"SESSION_SAVE_EVERY_REQUEST": True},
        only=("read", "async_read"),
    ),
    Contender(
        "stock_cached_locmem",
        "stock cached_db, local memory",
        "django",
        (COOKIE, ASYNC),
        engine=_CACHED,
    ),
    Contender(
        "stock_cached_redis",
        "stock cached_db, Redis",
        "django",
        (COOKIE, ASYNC),
        engine=_CACHED,
        cache="redis",
    ),
    Contender(
        "stock_signed",
        "stock signed cookies",
        "django",
        (COOKIE, ASYNC),
        engine="django.contrib.sessions.backends.signed_cookies",
        credentials="signed_cookie",
    ),
    Contender(
        "user_sessions",
        "django-user-sessions",
        "user_sessions",
        (COOKIE, ASYNC),
        engine="user_sessions.backends.db",
        apps=("user_sessions",),
        session_middleware="user_sessions.middleware.SessionMiddleware",
        requires=("user_sessions",),
    ),
    Contender(
        "qsessions_db",
        "django-qsessions db",
        "qsessions",
        (COOKIE, ASYNC),
        engine="qsessions.backends.db",
        apps=("qsessions",),
        session_middleware="qsessions.middleware.SessionMiddleware",
        requires=("qsessions",),
    ),
    Contender(
        "qsessions_cached",
        "django-qsessions cached_db, Redis",
        "qsessions",
        (COOKIE, ASYNC),
        engine="qsessions.backends.cached_db",
        apps=("qsessions",),
        session_middleware="qsessions.middleware.SessionMiddleware",
        cache="redis",
        requires=("qsessions",),
    ),
    Contender(
        "allauth",
        "allauth usersessions, activity tracked",
        "allauth",
        (COOKIE, ASYNC),
        apps=("django.contrib.sessions", *_ALLAUTH, "allauth.usersessions"),
        extra_middleware=(
            "allauth.account.middleware.AccountMiddleware",
            "allauth.usersessions.middleware.UserSessionsMiddleware",
        ),
        settings={"USERSESSIONS_TRACK_ACTIVITY": True},
        only=("read", "async_read"),
        requires=("allauth.usersessions",),
    ),
    _api(
        _plus,
        "api_plus_bearer",
        "**django-sessions-plus, session token**",
        "django_sessions_plus.api.authentication.SessionTokenAuthentication",
        credentials="bearer",
    ),
    _api(
        _plus,
        "api_plus_cookie",
        "**django-sessions-plus, cookie**",
        "django_sessions_plus.api.authentication.CookieAuthentication",
    ),
    _api(
        _plus,
        "api_plus_jwt",
        "**django-sessions-plus, checked JWT**",
        "django_sessions_plus.api.authentication.AccessTokenAuthentication",
        credentials="plus_jwt",
        settings=_DAY_LONG,
    ),
    *(
        _api(
            _plus,
            f"api_plus_leased_{name}",
            f"**django-sessions-plus leased_db, {label}**",
            f"django_sessions_plus.api.authentication.{authentication}",
            credentials=credentials,
            **{**_LEASED, "settings": _LEASED["settings"] | _DAY_LONG},
        )
        for name, credentials, label, authentication in (
            ("jwt", "plus_jwt", "checked JWT", "AccessTokenAuthentication"),
            ("bearer", "bearer", "session token", "SessionTokenAuthentication"),
        )
    ),
    _api(
        _plus,
        "api_plus_stateless",
        "**django-sessions-plus, stateless JWT**",
        "django_sessions_plus.api.authentication.StatelessAccessTokenAuthentication",
        credentials="plus_jwt",
        settings=_DAY_LONG,
    ),
    _api(
        Contender,
        "api_session",
        "stock db, SessionAuthentication",
        "rest_framework.authentication.SessionAuthentication",
        load="django",
    ),
    _api(
        Contender,
        "api_unprepared",
        "stock db, SessionAuthentication, not prepared",
        "rest_framework.authentication.SessionAuthentication",
        load="django",
        flavours=(PREPARED,),
        as_flavour=POSTGRESQL,
    ),
    _api(
        Contender,
        "api_token",
        "TokenAuthentication",
        "rest_framework.authentication.TokenAuthentication",
        ("rest_framework.authtoken",),
        load="token",
        credentials="token",
    ),
    _api(
        Contender,
        "api_knox",
        "knox",
        "knox.auth.TokenAuthentication",
        ("knox",),
        load="knox",
        credentials="knox",
        requires=("knox",),
    ),
    _api(
        Contender,
        "api_jwt_stateless",
        "simplejwt, stateless",
        "rest_framework_simplejwt.authentication.JWTStatelessUserAuthentication",
        load="django",
        credentials="simplejwt",
        requires=("rest_framework_simplejwt",),
    ),
    _api(
        Contender,
        "api_jwt_user",
        "simplejwt, with user",
        "rest_framework_simplejwt.authentication.JWTAuthentication",
        load="django",
        credentials="simplejwt",
        requires=("rest_framework_simplejwt",),
    ),
    _api(
        Contender,
        "api_jwt_denied",
        "simplejwt, with user, revoked tokens looked up",
        "rest_framework_simplejwt.authentication.JWTAuthentication",
        ("rest_framework_simplejwt.token_blacklist",),
        load="simplejwt",
        credentials="simplejwt",
        settings={"SIMPLE_JWT": {"AUTH_TOKEN_CLASSES": ("benchmarks.site.jwt.CheckedToken",)}},
        requires=("rest_framework_simplejwt",),
    ),
    _api(
        Contender,
        "api_allauth",
        "allauth, session token",
        "allauth.headless.contrib.rest_framework.authentication.XSessionTokenAuthentication",
        (*_ALLAUTH, "allauth.headless"),
        load="django",
        credentials="allauth",
        extra_middleware=("allauth.account.middleware.AccountMiddleware",),
        requires=("allauth.headless",),
    ),
)


def contender(name: str) -> Contender:
    """Return the contender of this name."""
    return next(one for one in CONTENDERS if one.name == name)


def taking_part(family: str, flavour: str) -> list[Contender]:
    """Return who is compared in this family on this database, whether or not they can run."""
    return [one for one in CONTENDERS if family in one.families and flavour in one.flavours]
