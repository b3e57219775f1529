"""The visitor's language, for what can be said in it.

This site's own words are English. The package's pages and the admin have translations, so these
follow the cookie that the language switch sets, or else the browser's ``Accept-Language``.
"""

from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponseBase
from django.middleware.locale import LocaleMiddleware
from django.utils import translation

TRANSLATED = {"django_sessions_plus", "admin"}
"""The names of the apps whose pages follow the visitor."""


class VisitorsLanguageMiddleware(LocaleMiddleware):
    """Choose the language by visitor on translated pages alone; the others do not vary by it."""

    def process_request(self, request: HttpRequest) -> None:
        """Begin with the site's language: which page it will be is not known yet."""
        translation.activate(settings.LANGUAGE_CODE)

    def process_view(self, request: HttpRequest, *args: Any) -> None:
        """Change to the visitor's where the page is translated."""
        if _is_translated(request):
            super().process_request(request)

    def process_response(
        self, request: HttpRequest, response: HttpResponseBase
    ) -> HttpResponseBase:
        """Say by what the page varies, if it does."""
        return super().process_response(request, response) if _is_translated(request) else response


def _is_translated(request: HttpRequest) -> bool:
    match = request.resolver_match
    return match is not None and match.app_name in TRANSLATED
