"""The site under ASGI."""

from django.core.asgi import get_asgi_application

application = get_asgi_application()
