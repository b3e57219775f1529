"""A way to the site on which answers get lost, and which can speak TLS."""

from __future__ import annotations

import ssl
import threading
from contextlib import suppress
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

# These are about one connection, not about what passes through it.
OF_THE_CONNECTION = {"connection", "keep-alive", "date", "server", "transfer-encoding"}


class FaultProxy:
    """Passes on what it is sent. Each answer has a connection of its own, which no browser tries again."""

    def __init__(self, upstream: str, tls: ssl.SSLContext | None = None) -> None:
        """Begin to listen.

        Args:
            upstream: the address of the site, ``http://host:port``.
            tls: the certificate to answer with; without it there is no TLS.
        """
        self.upstream = upstream.removeprefix("http://")
        self.scheme = "https" if tls else "http"
        self.lost: list[int] = []
        """The statuses of the answers that were lost."""
        self._lose: dict[str, int] = {}
        self._lock = threading.Condition()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.proxy = self
        if tls:
            self._server.socket = tls.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        self._thread = threading.Thread(target=self._server.serve_forever, args=[0.05])

    @property
    def address(self) -> str:
        """The site's address by this way."""
        return f"{self.scheme}://127.0.0.1:{self._server.server_port}"

    def lose(self, path: str, times: int) -> None:
        """Lose the next answers to requests for the path, after the server has given them."""
        with self._lock:
            self._lose = {path: times}
            self.lost.clear()

    def lose_nothing(self) -> None:
        """Lose no more."""
        with self._lock:
            self._lose.clear()

    def loses(self, path: str, status: int) -> bool:
        """Tell whether this answer gets lost, and count it if it does."""
        with self._lock:
            if not self._lose.get(path):
                return False
            self._lose[path] -= 1
            self.lost.append(status)
            self._lock.notify_all()
            return True

    def wait_for_loss(self) -> None:
        """Wait until an answer has been lost."""
        with self._lock:
            assert self._lock.wait_for(lambda: self.lost, 60), "nothing was lost"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *args: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    proxy: FaultProxy
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: browsers leave connections as they like."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def pass_on(self) -> None:
        proxy = self.server.proxy
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {**self.headers, "X-Forwarded-Proto": proxy.scheme, "Connection": "close"}
        upstream = HTTPConnection(proxy.upstream, timeout=60)
        upstream.request(self.command, self.path, body, headers)
        answer = upstream.getresponse()
        content = answer.read()
        upstream.close()
        if proxy.loses(self.path.partition("?")[0], answer.status):
            self.close_connection = True
            return
        self.send_response_only(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in OF_THE_CONNECTION:
                self.send_header(name, value)
        self.end_headers()
        # Who has left does not want it.
        with suppress(ConnectionError):
            self.wfile.write(content)

    do_GET = do_POST = do_PATCH = do_DELETE = do_HEAD = pass_on

    def log_message(self, *args: object) -> None:
        """Say nothing."""
