"""What may be told of a user, once for the API, access tokens and the schema."""

import pytest
from django.contrib.auth.models import User
from django.utils.functional import SimpleLazyObject

from django_sessions_plus.exceptions import ConfigurationError
from django_sessions_plus.presentation import user_fields

ADA = User(pk=7, username="ada", email="ada@example.com", password="secret")


def test_the_fields_that_are_asked_for_are_told_in_that_order():
    told = user_fields.values_of(ADA, ["email", "username"])
    assert list(told.items()) == [("email", "ada@example.com"), ("username", "ada")]


def test_a_lazy_user_is_told_like_any_other():
    assert user_fields.values_of(SimpleLazyObject(lambda: ADA), ["username"]) == {"username": "ada"}


def test_the_password_is_never_told():
    assert user_fields.values_of(ADA, ["password", "username"]) == {"username": "ada"}


def test_what_is_no_column_is_left_out():
    assert user_fields.values_of(ADA, ["role", "is_authenticated", "groups"]) == {}


def test_a_value_that_json_has_no_form_for_is_told_as_its_text():
    class Odd:
        attname = name = "username"

        @staticmethod
        def value_from_object(user):
            return {user.username}

        @staticmethod
        def value_to_string(user):
            return f"text of {user.username}"

    assert user_fields._plain(Odd(), ADA) == "text of ada"


def card(user):
    return {"name": user.get_full_name() or user.username, "id": 0}


@pytest.mark.parametrize("source", [card, "tests.presentation.test_user_fields.card"])
def test_what_a_callable_computes_is_told_beside_the_id(settings, source):
    settings.SESSIONS_PLUS_USER_FIELDS = source
    told = user_fields.user_body(SimpleLazyObject(lambda: ADA))
    assert list(told.items()) == [("id", 7), ("name", "ada")]


@pytest.mark.parametrize("wrong", [None, [("name", "ada")], {1: "ada"}])
def test_a_callable_that_gives_no_dictionary_is_a_mistake_of_configuration(settings, wrong):
    settings.SESSIONS_PLUS_USER_FIELDS = lambda user: wrong
    with pytest.raises(ConfigurationError, match="must give a dictionary"):
        user_fields.user_body(ADA)


def test_a_path_that_leads_nowhere_names_the_setting(settings):
    settings.SESSIONS_PLUS_USER_FIELDS = "tests.nowhere.card"
    with pytest.raises(ConfigurationError, match="SESSIONS_PLUS_USER_FIELDS"):
        user_fields.user_body(ADA)
