"""The settings of the suite, with django-unfold's templates before Django's own."""

from tests.settings import *  # noqa: F403
from tests.settings import INSTALLED_APPS as SUITE

INSTALLED_APPS = ["unfold", *SUITE]
ROOT_URLCONF = "tests.unfold.urls"
