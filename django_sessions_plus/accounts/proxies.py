"""Log once per process that requests come through a proxy that no setting declares.

All users behind such a proxy seem to have its address: their sessions record it, and their
sign-ins are counted together.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django_sessions_plus import devices, events
from django_sessions_plus.conf import config

_HEADERS = ("HTTP_X_FORWARDED_FOR", "HTTP_X_REAL_IP", "HTTP_FORWARDED")
# Not empty once this process has logged it. A list, so that no global statement is needed.
_logged: list[str] = []


def warn_if_untrusted(meta: Mapping[str, Any]) -> None:
    """Log once that a request with a forwarded address came from a private address that is not trusted.

    Called at sign-ins only. A client on the same network can cause it with a forged header, so it
    changes nothing.
    """
    if _logged or not any(meta.get(name) for name in _HEADERS):
        return
    remote = meta.get("REMOTE_ADDR")
    if not devices.is_private_peer(remote) or devices.is_trusted_peer(
        remote, config.TRUSTED_PROXIES
    ):
        return
    _logged.append(str(remote))
    events.PROXY_NOT_TRUSTED.log(ip_address=remote or "unix")
