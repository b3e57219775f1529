"""Extensions of drf-spectacular that describe the API in OpenAPI (extra ``openapi``).

The app imports this if ``drf_spectacular`` is in INSTALLED_APPS. No other module of the package may
import it, or drf-spectacular.
"""

from django_sessions_plus.api.schema import authentication, bodies, servers, users, views

__all__ = ["authentication", "bodies", "servers", "users", "views"]
