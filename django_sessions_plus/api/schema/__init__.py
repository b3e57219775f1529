"""What drf-spectacular has to know to describe the API in OpenAPI (extra ``openapi``).

The app imports this when ``drf_spectacular`` is among INSTALLED_APPS, which is all it
takes; nothing else of the package imports it, or drf-spectacular.
"""

from django_sessions_plus.api.schema import authentication, bodies, views

__all__ = ["authentication", "bodies", "views"]
