"""Sessions of another engine in files."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from django.contrib.sessions.backends.base import UpdateError
from django.utils import timezone
from django.views.decorators.debug import sensitive_variables

from django_sessions_plus.switching.decoding import UnreadableError, decoded
from django_sessions_plus.switching.sources.base import OldSession, Source, expiry_of, time_of


class FileSource(Source):
    """Sessions of ``django.contrib.sessions.backends.file``, or of an engine that extends it."""

    place = "a folder of files"

    @sensitive_variables()
    def find(self, key: str) -> OldSession | None:
        """See Source. A file does not tell when its session began, only when it was last saved."""
        path = self._path(key)
        try:
            text = path.read_text(encoding="ascii")
            saved_at = time_of(path.stat().st_mtime)
        except FileNotFoundError:
            return None
        except UnicodeDecodeError as error:
            raise UnreadableError("its file has other characters than ASCII") from error
        if not text:
            # The engine makes an empty file before it writes one.
            return None
        data = decoded(self.store_class, text)
        expires_at = expiry_of(self.store_class(), data, saved_at)
        if expires_at <= timezone.now():
            return None
        return OldSession(data=data, expires_at=expires_at, last_seen_at=saved_at)

    @sensitive_variables()
    def update(self, key: str, expires_at: datetime, data: Mapping[str, Any] | None) -> None:
        """See Source. The engine reads the expiry from the time at which the file was changed."""
        store: Any = self.store_class(key)
        with suppress(FileNotFoundError, UpdateError):
            if data is not None:
                store.clear()
                store.update(data)
                store.save()
            age = timedelta(seconds=store.get_session_cookie_age())
            changed_at = (expires_at - age).timestamp()
            os.utime(self._path(key), (changed_at, changed_at))

    def _path(self, key: str) -> Path:
        store: Any = self.store_class()
        return Path(store.storage_path) / f"{store.file_prefix}{key}"
