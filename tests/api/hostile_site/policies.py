"""What the project wants of its own views, and nobody else would."""

from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed, NotAcceptable
from rest_framework.metadata import BaseMetadata
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.parsers import BaseParser
from rest_framework.renderers import JSONRenderer
from rest_framework.throttling import BaseThrottle


class Nobody(BaseAuthentication):
    def authenticate(self, request):
        raise AuthenticationFailed


class Never(BaseThrottle):
    def allow_request(self, request, view):
        return False


class Nothing(BaseContentNegotiation):
    def select_parser(self, request, parsers):
        return None

    def select_renderer(self, request, renderers, format_suffix=None):
        raise NotAcceptable


class Unreadable(BaseParser):
    media_type = "application/json"

    def parse(self, stream, media_type=None, parser_context=None):
        raise RuntimeError("the project's own parser")


class Backwards(JSONRenderer):
    media_type = "application/xml"
    format = "xml"

    def render(self, data, accepted_media_type=None, renderer_context=None):
        return super().render(data)[::-1]


class Talkative(BaseMetadata):
    def determine_metadata(self, request, view):
        return {"secret": "plans"}


def explode(exc, context):
    raise RuntimeError("the project's own handler")
