"""Read the data of another engine's session, and tell data that cannot be read from a store that fails. No I/O.

After a failure the store is not asked for any session for a while, so damaged data must not count as one.
"""

from __future__ import annotations

import pickle
import zlib
from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any

from django.contrib.sessions.backends.base import SessionBase
from django.core import signing

from django_sessions_plus.conf.changes import on_setting_change

DAMAGED = (
    *(AttributeError, EOFError, ImportError, IndexError, KeyError, TypeError, ValueError),
    *(pickle.UnpicklingError, zlib.error),
)
"""What a cache raises for an entry that is damaged, or has a class that was moved or removed since.

No driver raises any of these for a server that fails.
"""


class UnreadableError(Exception):
    """The session exists, but its data cannot be read; the message says why, without a value of it."""


def decoded(store_class: type[SessionBase], text: str) -> dict[str, Any]:
    """Return the data in ``text``, as the store of the other engine reads it.

    Raises:
        UnreadableError: it is damaged, signed with another key, or of another serializer.
    """
    if store_class.decode is not SessionBase.decode:
        try:
            data = store_class().decode(text)
        except Exception as error:
            # Whatever it is: the store has answered, and can be asked for other sessions.
            reason = f"its engine cannot read its data ({type(error).__name__})"
            raise UnreadableError(reason) from error
    else:
        # Django's own method returns {} for any failure, which here would look like an empty session.
        try:
            data = _reader(store_class)(text)
        except signing.BadSignature as error:
            raise UnreadableError(
                "its data is damaged, or signed with another SECRET_KEY"
            ) from error
        except Exception as error:
            reason = f"SESSION_SERIALIZER cannot read its data ({type(error).__name__})"
            raise UnreadableError(reason) from error
    if not isinstance(data, dict):
        raise UnreadableError("its data is no dictionary")
    return data


@lru_cache(maxsize=16)
def _reader(store_class: type[SessionBase]) -> Callable[[str], Any]:
    """Return what reads a text as ``signing.loads()`` does; that derives the key for each text, half of its time."""
    store: Any = store_class()
    signer = signing.TimestampSigner(salt=store.key_salt)
    return partial(signer.unsign_object, serializer=store.serializer)


on_setting_change(_reader.cache_clear)
