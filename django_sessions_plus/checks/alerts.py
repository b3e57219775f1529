"""Checks of the e-mails to users, and of ``SESSIONS_PLUS_CONTEXT_POLICY``."""

from typing import Any

from django.conf import settings
from django.core.checks import Tags

from django_sessions_plus.checks.registry import Problems, check, problem
from django_sessions_plus.conf import PREFIX, config

_SMTP = "django.core.mail.backends.smtp.EmailBackend"


@check()
def check_email_has_a_link() -> Problems:
    """Find e-mails about a new device that do not link to the page where its session can be ended."""
    if config.NEW_DEVICE_EMAIL and config.DEVICES_URL is None:
        yield problem(
            "W027",
            f"{PREFIX}NEW_DEVICE_EMAIL is on without {PREFIX}DEVICES_URL: the e-mails have no link"
            " to the page on which people end sessions.",
            f'Set {PREFIX}DEVICES_URL to its address, such as "https://example.com/devices/". It is'
            " not taken from the request, whose Host header somebody else may choose.",
        )


@check()
def check_new_devices_can_be_compared() -> Problems:
    """Find e-mails that are never sent because no features of devices are recorded."""
    if config.NEW_DEVICE_EMAIL and _is_nothing_recorded():
        yield problem(
            "W028",
            f"{PREFIX}NEW_DEVICE_EMAIL has no effect: neither IP address nor user agent is recorded.",
            f"Record one of them ({PREFIX}RECORD_IP, {PREFIX}RECORD_USER_AGENT), truncated or"
            f" parsed perhaps, or remove {PREFIX}NEW_DEVICE_EMAIL.",
        )


@check()
def check_context_can_be_compared() -> Problems:
    """Find a policy that never applies because neither address nor user agent is recorded."""
    if config.CONTEXT_POLICY != "notice" and _is_nothing_recorded():
        yield problem(
            "W029",
            f"{PREFIX}CONTEXT_POLICY has no effect: neither IP address nor user agent is recorded.",
            f"Record one of them ({PREFIX}RECORD_IP, {PREFIX}RECORD_USER_AGENT), truncated or"
            f" parsed perhaps, or remove {PREFIX}CONTEXT_POLICY.",
        )


@check(deploy=True)
def check_mail_server_cannot_hang() -> Problems:
    """Find sign-ins that wait for a mail server without a timeout."""
    if config.NEW_DEVICE_EMAIL and _mailer() == (_SMTP, None):
        yield problem(
            "W030",
            "A mail server that hangs would make sign-ins hang: no timeout is set for it.",
            'Set EMAIL_TIMEOUT, or the option "timeout" of the default of MAILERS, to some seconds, or'
            " name a backend that queues.",
        )


@check(Tags.security, deploy=True)
def check_context_is_not_a_proxys() -> Problems:
    """Find a policy that compares the address of a proxy instead of the user's."""
    behind_proxy = settings.SECURE_PROXY_SSL_HEADER or settings.USE_X_FORWARDED_HOST
    is_judged = config.CONTEXT_POLICY != "notice" and config.RECORD_IP != "off"
    if is_judged and behind_proxy and not config.TRUSTED_PROXIES:
        yield problem(
            "W031",
            f"{PREFIX}CONTEXT_POLICY is {config.CONTEXT_POLICY!r}, and the address it compares is"
            " that of a proxy: another proxy would be taken for another network.",
            f"Name your proxies in {PREFIX}TRUSTED_PROXIES.",
        )


def _mailer() -> tuple[Any, Any]:
    """Return the path of the e-mail backend, and its timeout."""
    # Not through the lazy object, which warns about each EMAIL_ setting from Django 6.1 on. Private names
    # of Django 5.2 to 6.1: ``_wrapped``; tests/test_private_names.py fails if it disappears.
    plain: Any = settings._wrapped  # type: ignore[misc]
    mailers = getattr(plain, "MAILERS", None)
    if mailers is None:
        return plain.EMAIL_BACKEND, plain.EMAIL_TIMEOUT
    mailer = mailers.get("default", {})
    return mailer.get("BACKEND", _SMTP), mailer.get("OPTIONS", {}).get("timeout")


def _is_nothing_recorded() -> bool:
    return config.RECORD_IP == config.RECORD_USER_AGENT == "off"
