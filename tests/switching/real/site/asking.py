"""Ask a site over HTTP."""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping
from threading import Barrier
from typing import Any

TIMEOUT = 60.0
NOBODY = {"user": "", "data": {}}


def ask(
    address: str,
    path: str,
    headers: Mapping[str, str],
    body: Any = None,
    *,
    barrier: Barrier | None = None,
    timeout: float = TIMEOUT,
) -> tuple[int, Any]:
    """Return the status, and the JSON of the answer or its text. With a ``body`` it is a POST of JSON.

    The request is sent when all those who share the ``barrier`` are connected.

    Raises:
        OSError, HTTPException, BrokenBarrierError: there was no answer.
    """
    connection = http.client.HTTPConnection(address, timeout=timeout)
    method, sent = "GET", None
    if body is not None:
        method, sent = "POST", json.dumps(body)
        headers = {**headers, "Content-Type": "application/json"}
    try:
        connection.connect()
        if barrier is not None:
            barrier.wait()
        connection.request(method, path, sent, dict(headers))
        response = connection.getresponse()
        text = response.read()
        is_json = response.getheader("Content-Type", "").startswith("application/json")
        return response.status, json.loads(text) if is_json else text[:1000].decode()
    finally:
        connection.close()


def or_nobody(status: int, found: Any) -> Any:
    """Return an answer; NOBODY if a credential was refused, and a text for an error."""
    if status == 200:
        return found
    return NOBODY if status == 401 else f"status {status}"
