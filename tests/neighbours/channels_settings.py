"""A site that is served by Channels as well."""

from tests.settings import *  # noqa: F403
from tests.settings import INSTALLED_APPS as BASE_APPS

ROOT_URLCONF = "tests.site"
INSTALLED_APPS = [*BASE_APPS, "channels"]
CHANNEL_LAYERS = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}
