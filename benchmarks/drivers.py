"""Hand requests straight to Django's handlers, as a server would, and no more."""

from __future__ import annotations

import asyncio
import io
import sys
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, Protocol

from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application

from benchmarks import keys


class Request(NamedTuple):
    """What a client sends."""

    path: str
    headers: dict[str, str]
    query: str = ""


class Answer(NamedTuple):
    """What comes back."""

    status: int
    body: bytes


class Driver(Protocol):
    """A handler, and the form it wants its requests in."""

    def prepare(self, request: Request) -> Any:
        """Return the request as the handler takes it; outside of what is timed."""

    def serve(self, prepared: list[Any]) -> list[Answer]:
        """Serve one request after the other."""


class WsgiDriver:
    """Call the WSGI handler."""

    def __init__(self) -> None:
        self.handler: Callable[..., Iterable[bytes]] = get_wsgi_application()

    def prepare(self, request: Request) -> dict[str, Any]:
        """See Driver."""
        environ: dict[str, Any] = {
            "REQUEST_METHOD": "GET",
            "SCRIPT_NAME": "",
            "PATH_INFO": request.path,
            "QUERY_STRING": request.query,
            "SERVER_NAME": "testserver",
            "SERVER_PORT": "80",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "REMOTE_ADDR": keys.ADDRESS,
            "HTTP_HOST": "testserver",
            "HTTP_USER_AGENT": keys.USER_AGENT,
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http",
            "wsgi.input": io.BytesIO(),
            "wsgi.errors": sys.stderr,
            "wsgi.multithread": False,
            "wsgi.multiprocess": True,
            "wsgi.run_once": False,
        }
        for name, value in request.headers.items():
            environ["HTTP_" + name.upper().replace("-", "_")] = value
        return environ

    def serve(self, prepared: list[dict[str, Any]]) -> list[Answer]:
        """See Driver."""
        return [self._serve_one(environ) for environ in prepared]

    def _serve_one(self, environ: dict[str, Any]) -> Answer:
        status = ""

        def start_response(line: str, headers: object, exc_info: object = None) -> None:
            nonlocal status
            status = line

        response: Any = self.handler(environ, start_response)
        body = b"".join(response)
        response.close()
        return Answer(int(status[:3]), body)


class AsgiDriver:
    """Call the ASGI handler, in one event loop for the life of the process."""

    def __init__(self) -> None:
        self.handler: Any = get_asgi_application()
        self.loop = asyncio.new_event_loop()

    def prepare(self, request: Request) -> dict[str, Any]:
        """See Driver."""
        headers = {"Host": "testserver", "User-Agent": keys.USER_AGENT} | request.headers
        return {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "GET",
            "scheme": "http",
            "path": request.path,
            "raw_path": request.path.encode(),
            "query_string": request.query.encode(),
            "root_path": "",
            "client": [keys.ADDRESS, 50_000],
            "server": ["testserver", 80],
            "headers": [(k.lower().encode(), v.encode("latin-1")) for k, v in headers.items()],
        }

    def serve(self, prepared: list[dict[str, Any]]) -> list[Answer]:
        """See Driver."""
        return self.loop.run_until_complete(self._serve_all(prepared))

    async def _serve_all(self, prepared: list[dict[str, Any]]) -> list[Answer]:
        return [await self._serve_one(scope) for scope in prepared]

    async def _serve_one(self, scope: dict[str, Any]) -> Answer:
        sent: list[dict[str, Any]] = []
        finished = asyncio.Event()
        is_read = False

        async def receive() -> dict[str, Any]:
            nonlocal is_read
            if is_read:
                # A client that stays: the handler listens for its leaving until it has answered.
                await finished.wait()
                return {"type": "http.disconnect"}
            is_read = True
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        await self.handler(scope, receive, send)
        finished.set()
        body = b"".join(message.get("body", b"") for message in sent)
        return Answer(sent[0]["status"], body)
