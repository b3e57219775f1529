"""Redis for the tests that need a real one: the one REDIS_URL names, and servers that may be stopped."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
import uuid
from collections.abc import Iterator
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from django.core.cache import caches
from django.core.exceptions import ImproperlyConfigured

from tests.backends.cached import ENGINE
from tests.ports import free_port

# In seconds. What a busy machine does not exceed, unless Redis is made to be silent.
TIMEOUT = 10.0
SILENCE = 1.0
# Whoever asks for these tests without the client finds none, and that is an error of pytest's.
collect_ignore_glob = [] if find_spec("redis") else ["test_*.py"]


def missing(what: str) -> None:
    """Skip where somebody may do without, and fail where nobody may."""
    if os.environ.get("CI"):
        pytest.fail(what)
    pytest.skip(what)


class Server:
    """A Redis of our own, which can be stopped, paused, emptied and started again."""

    def __init__(self, directory: Path) -> None:
        self.port = free_port()
        self.directory = directory
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        options = ["--port", str(self.port), "--save", "", "--dir", str(self.directory)]
        self.process = subprocess.Popen(
            ["redis-server", *options, "--bind", "127.0.0.1"], stdout=subprocess.DEVNULL
        )
        for _ in range(1200):
            with closing(socket.socket()) as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.05)
        raise ImproperlyConfigured("redis-server does not answer")

    def stop(self) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGCONT)
            self.process.terminate()
            self.process.wait(60)
            self.process = None

    def pause(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    def empty(self) -> None:
        caches["default"].clear()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    if shutil.which("redis-server") is None:
        missing("redis-server is not installed")
    found = Server(tmp_path)
    found.start()
    yield found
    found.stop()


def redis_cache(url: str, timeout: float = TIMEOUT) -> dict[str, Any]:
    return {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": url,
        # Left to itself the client tries again and again, longer than anybody waits for a page.
        "OPTIONS": {"socket_timeout": timeout, "socket_connect_timeout": timeout},
        # Others may be testing on the same server.
        "KEY_PREFIX": f"tests-{uuid.uuid4().hex}",
    }


@pytest.fixture
def own_redis(server: Server, settings: Any) -> Server:
    """Make a server that may be stopped the one that sessions are kept in."""
    settings.SESSION_ENGINE = ENGINE
    settings.CACHES = {"default": redis_cache(server.url)}
    return server


@pytest.fixture
def silent_redis(own_redis: Server, settings: Any) -> Server:
    """The same for a test that has it say nothing: nobody waits for long."""
    settings.CACHES = {"default": redis_cache(own_redis.url, SILENCE)}
    return own_redis


@pytest.fixture
def shared_redis(settings: Any) -> str:
    """Make the Redis that REDIS_URL names the one that sessions are kept in."""
    url = os.environ.get("REDIS_URL", "")
    if not url:
        missing("REDIS_URL names no Redis")
    settings.SESSION_ENGINE = ENGINE
    settings.CACHES = {"default": redis_cache(url)}
    return url
