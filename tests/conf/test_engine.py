"""The one way to the engine that a project has configured."""

import pytest
from django.contrib.sessions.backends import signed_cookies

from django_sessions_plus.backends import cached_db, db
from django_sessions_plus.conf.engine import engine


@pytest.mark.parametrize("module", [db, cached_db, signed_cookies])
def test_the_engine_is_the_store_that_the_setting_names_now(settings, module):
    settings.SESSION_ENGINE = module.__name__
    assert engine() is module.SessionStore


@pytest.mark.parametrize(
    ("setting", "error"), [("no.such.engine", ImportError), ("datetime", AttributeError)]
)
def test_what_is_no_engine_is_an_error(settings, setting, error):
    settings.SESSION_ENGINE = setting
    with pytest.raises(error):
        engine()
