"""The URL of the described API: a hook for drf-spectacular's ``POSTPROCESSING_HOOKS``."""

from typing import Any

from django.urls import get_script_prefix


def name_server(
    result: dict[str, Any], generator: Any, request: Any, public: bool
) -> dict[str, Any]:
    """Return the schema with the site's subpath in ``servers``, if there is one and ``servers`` is empty.

    The paths of a schema do not include it. It comes from ``FORCE_SCRIPT_NAME``, or from the server.
    """
    subpath = get_script_prefix().rstrip("/")
    if subpath:
        result.setdefault("servers", [{"url": subpath}])
    return result
