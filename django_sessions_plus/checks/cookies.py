"""Checks of the session cookie: settings that browsers refuse, and settings that protect it.

Django warns of a cookie that is not Secure or not HttpOnly (security.W010-W015) only if
INSTALLED_APPS or MIDDLEWARE contain the exact names of its own app or middleware. Only if a
project has replaced both, these checks here do the same.
"""

from django.conf import settings
from django.core.checks import Tags
from django.views.debug import get_default_exception_reporter_filter

from django_sessions_plus.checks.registry import Problems, check, problem
from django_sessions_plus.conf import PREFIX, config

# A value that error reports show only if their filter does not hide the setting.
_SHOWN = "shown"


@check(Tags.security)
def check_prefix() -> Problems:
    """Find cookies that browsers drop because they lack what the prefix of their name requires (RFC 6265bis)."""
    name = settings.SESSION_COOKIE_NAME.lower()
    missing = []
    if name.startswith(("__host-", "__secure-")) and not settings.SESSION_COOKIE_SECURE:
        missing.append("SESSION_COOKIE_SECURE = True")
    if name.startswith("__host-") and settings.SESSION_COOKIE_PATH != "/":
        missing.append('SESSION_COOKIE_PATH = "/"')
    if name.startswith("__host-") and settings.SESSION_COOKIE_DOMAIN:
        missing.append("SESSION_COOKIE_DOMAIN = None")
    if missing:
        yield problem(
            "E014",
            f"Browsers drop a cookie of the name {settings.SESSION_COOKIE_NAME!r} with these"
            " settings: nobody can sign in.",
            f"Set {', '.join(missing)}, or take a name without the prefix.",
        )


@check(Tags.security)
def check_same_site_none() -> Problems:
    """Find cookies for other sites that browsers drop because they are not Secure."""
    if settings.SESSION_COOKIE_SAMESITE == "None" and not settings.SESSION_COOKIE_SECURE:
        yield problem(
            "E015",
            "Browsers drop a cookie with SameSite=None that is not Secure: nobody can sign in.",
            'Set SESSION_COOKIE_SECURE = True, or SESSION_COOKIE_SAMESITE = "Lax".',
        )


@check(Tags.security)
def check_refresh_cookie() -> Problems:
    """Find a refresh cookie that another cookie replaces, or that browsers drop."""
    name = config.REFRESH_COOKIE_NAME
    others = ("SESSION_COOKIE_NAME", "CSRF_COOKIE_NAME", "LANGUAGE_COOKIE_NAME")
    taken = [other for other in others if getattr(settings, other) == name]
    if taken:
        yield problem(
            "E025",
            f"{PREFIX}REFRESH_COOKIE_NAME and {taken[0]} are both {name!r}: one would overwrite the other.",
            f"Give {PREFIX}REFRESH_COOKIE_NAME a name of its own.",
        )
    elif name.lower().startswith("__secure-") and not settings.SESSION_COOKIE_SECURE:
        yield problem(
            "E025",
            f"Browsers drop a cookie of the name {name!r} that is not Secure: refresh tokens would be lost.",
            "Set SESSION_COOKIE_SECURE = True, or take a name without the prefix.",
        )


@check(Tags.security)
def check_refresh_cookie_is_hidden() -> Problems:
    """Find a refresh cookie that Django's error reports show, because its name looks like no secret."""
    name = config.REFRESH_COOKIE_NAME
    cleanse = getattr(get_default_exception_reporter_filter(), "cleanse_setting", None)
    if cleanse is not None and cleanse(name, _SHOWN) == _SHOWN:
        yield problem(
            "W033",
            f"Django's error reports, and its e-mails to ADMINS, show a cookie of the name {name!r}:"
            " a request that fails while it refreshes would give its token away.",
            f'Let {PREFIX}REFRESH_COOKIE_NAME have "token" in it, such as'
            ' "__Secure-refresh_token", or name a filter in DEFAULT_EXCEPTION_REPORTER_FILTER that'
            " hides it.",
        )


@check(Tags.security, deploy=True)
def check_secure() -> Problems:
    """Find cookies that are sent without encryption, if Django's own check does not run."""
    if settings.SESSION_COOKIE_SECURE is not True and not _is_checked_by_django():
        yield problem(
            "W015",
            "SESSION_COOKIE_SECURE is not True: the token also travels over plain HTTP, where"
            " others on the network can read it.",
            "Set SESSION_COOKIE_SECURE = True.",
        )


@check(Tags.security, deploy=True)
def check_http_only() -> Problems:
    """Find cookies that scripts can read, if Django's own check does not run."""
    if settings.SESSION_COOKIE_HTTPONLY is not True and not _is_checked_by_django():
        yield problem(
            "W016",
            "SESSION_COOKIE_HTTPONLY is not True: a script that gets into a page can read the"
            " token.",
            "Set SESSION_COOKIE_HTTPONLY = True.",
        )


@check(Tags.security, deploy=True)
def check_same_site() -> Problems:
    """Find cookies that other sites may send (OWASP ASVS 5.0 3.3.2)."""
    if settings.SESSION_COOKIE_SAMESITE not in {"Lax", "Strict"}:
        yield problem(
            "W017",
            f"SESSION_COOKIE_SAMESITE is {settings.SESSION_COOKIE_SAMESITE!r}: requests from other"
            " sites carry the session, and CSRF tokens are the only defence.",
            'Set SESSION_COOKIE_SAMESITE = "Lax" unless other sites must embed this one.',
        )


@check(Tags.security, deploy=True)
def check_host_prefix() -> Problems:
    """Find cookies that a subdomain could overwrite (OWASP ASVS 5.0 3.3.1)."""
    name = settings.SESSION_COOKIE_NAME.lower()
    if not name.startswith(("__host-", "__secure-")):
        yield problem(
            "I002",
            f"The session cookie's name, {settings.SESSION_COOKIE_NAME!r}, has no prefix: a"
            " subdomain, or a network without TLS, can plant a cookie of that name.",
            'Set SESSION_COOKIE_NAME = "__Host-session", or "__Secure-session" if subdomains share'
            " it. Name the earlier one in SESSIONS_PLUS_FALLBACK_COOKIE_NAMES, so that nobody is"
            " signed out.",
        )


@check(Tags.security, deploy=True)
def check_proxies() -> Problems:
    """Find sites behind a proxy that record the proxy's address for every user."""
    behind_proxy = settings.SECURE_PROXY_SSL_HEADER or settings.USE_X_FORWARDED_HOST
    is_address_used = (
        config.RECORD_IP != "off" or config.rate("sign_in") or config.rate("sign_in_address")
    )
    if behind_proxy and not config.TRUSTED_PROXIES and is_address_used:
        yield problem(
            "I003",
            "The settings mention a proxy, but none is trusted to send the client's address: unless"
            " the server sets REMOTE_ADDR to it, every session records the proxy's, and the"
            " sign-ins of all clients are counted together.",
            f"Name your proxies in {PREFIX}TRUSTED_PROXIES, or silence this check.",
        )


def _is_checked_by_django() -> bool:
    return (
        "django.contrib.sessions" in settings.INSTALLED_APPS
        or "django.contrib.sessions.middleware.SessionMiddleware" in settings.MIDDLEWARE
    )
