"""Settings: how they are read, what they take, and that they are declared well."""

from datetime import timedelta
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings

from django_sessions_plus import conf, kinds
from django_sessions_plus.conf import Config, Setting, config, declared
from django_sessions_plus.exceptions import ConfigurationError, SessionsPlusError

SECOND = timedelta(seconds=1)
ZERO = timedelta(0)

# kind -> what it takes, and what it does not.
KINDS: list[tuple[kinds.Kind, list[Any], list[Any]]] = [
    (kinds.DURATION, [ZERO, SECOND], [-SECOND, 1, 1.5, "1", None]),
    (kinds.POSITIVE_DURATION, [SECOND], [ZERO, -SECOND, 1, None]),
    (kinds.OPTIONAL_DURATION, [SECOND, None], [ZERO, -SECOND, 60, False]),
    (kinds.SWITCH, [True, False], [1, 0, "yes", None]),
    (kinds.COUNT, [1, 10**6], [0, -1, True, 1.0, "1", None]),
    (kinds.FRACTION, [0, 0.01, 1, 1.0], [-0.1, 1.1, True, "0.5", None, float("nan")]),
    (kinds.LIMIT, [1, None, len, "path.to.callable"], [0, -1, True, 1.5, [1]]),
    (
        kinds.NETWORKS,
        [[], (), ["10.0.0.1"], ("10.0.0.0/8", "fd00::/8"), ["10.0.0.1/8"], ["unix"]],
        ["10.0.0.1", None, ["10.0.0"], ["10.0.0.1:80"], [1], [None], {"10.0.0.1"}],
    ),
    (kinds.TEXT, ["a"], ["", None, 1]),
    (kinds.OPTIONAL_TEXT, ["a", None], ["", 1]),
    (
        kinds.OPTIONAL_ADDRESS,
        [None, "https://example.com/devices/", "http://localhost:8000/", "https://[2001:db8::1]/"],
        [
            *("", "/devices/", "devices", "//example.com/", "javascript:alert(1)", "https://", 1),
            *("https://example.com/a b", "https://example.com/\nBcc: eve", "https://[::1/"),
        ],
    ),
    (kinds.OPTIONAL_CALLABLE, [None, len, "path.to.callable"], ["", 1, []]),
    (
        kinds.RATE,
        [None, "1/s", "10/min", "100/hour", "5/d"],
        ["", "10", "0/min", "-1/min", "1.5/min", "10/year", "/min", 10, "min/10"],
    ),
    (
        kinds.COOKIE_NAME,
        ["a", "refresh_token", "__Secure-refresh", "R.2"],
        ["", "a b", "a=b", "a;", "é", "__Host-refresh", "__host-refresh", "a\n", None, 1],
    ),
    (kinds.FIELDS, [[], ["email"], ("email", "username")], ["email", [""], [1], None, {"email"}]),
    (
        kinds.LIFETIME,
        [SECOND, timedelta(days=36500)],
        [ZERO, timedelta(milliseconds=999), timedelta(days=36501), 1, None],
    ),
    (
        kinds.LEEWAY,
        [ZERO, SECOND, timedelta(minutes=1)],
        [-SECOND, timedelta(seconds=61), timedelta.max, 10, None],
    ),
    (kinds.JITTER, [0, 0.0, 0.01, 0.05], [-0.01, 0.051, 1, True, False, "0", None, float("nan")]),
    (kinds.AUDIENCE, ["a", ["a"], ("a", "b")], ["", [], [""], ["a", 1], None, {"a"}]),
    (
        kinds.CLAIMS,
        [[], ["email"], ("email",), "path.to.callable", len],
        ["", None, 1, [""], [1], {"email": 1}],
    ),
    (kinds.KEYS, [None, [{}], ({"secret": "a"},)], [[], {}, "", "secret", ["secret"], [None], 1]),
    (kinds.one_of("full", "off"), ["full", "off"], ["", "FULL", None, 1]),
]
TAKES = [(kind, value) for kind, good, _ in KINDS for value in good]
REFUSES = [(kind, value) for kind, _, bad in KINDS for value in bad]

SETTINGS = list(declared().values())


def three(user: Any) -> int:
    return 3


def no_limit(user: Any) -> None:
    return None


def zero(user: Any) -> int:
    return 0


@pytest.mark.parametrize(("kind", "value"), TAKES)
def test_a_kind_takes_what_it_describes(kind: kinds.Kind, value: Any):
    assert kind.accepts(value)


@pytest.mark.parametrize(("kind", "value"), REFUSES)
def test_a_kind_refuses_everything_else(kind: kinds.Kind, value: Any):
    assert not kind.accepts(value)


def test_every_kind_in_use_is_tested_here():
    tested = {kind.wants for kind, _, _ in KINDS}
    for setting in SETTINGS:
        assert setting.kind.wants in tested or setting.kind.wants.startswith("one of ")


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_a_setting_has_its_default_until_it_is_set(setting: Setting[Any]):
    attribute = setting.name.removeprefix(conf.PREFIX)
    assert getattr(config, attribute) == setting.default
    assert getattr(Config, attribute) is setting


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_a_default_is_of_the_kind_of_its_setting(setting: Setting[Any]):
    assert setting.kind.accepts(setting.default)


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_a_wrong_value_is_an_error_that_names_the_setting(setting: Setting[Any]):
    with (
        override_settings(**{setting.name: object()}),
        pytest.raises(ConfigurationError, match=f"^{setting.name} must be ") as caught,
    ):
        setting.read()
    assert setting.kind.wants in str(caught.value)


def test_the_value_of_a_secret_setting_stays_out_of_the_error():
    with (
        override_settings(SESSIONS_PLUS_JWT_KEYS={"secret": "tell nobody"}),
        pytest.raises(ConfigurationError, match=r"^SESSIONS_PLUS_JWT_KEYS must be ") as caught,
    ):
        assert config.JWT_KEYS
    assert "tell nobody" not in str(caught.value)


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_a_meaning_is_made_of_sentences(setting: Setting[Any]):
    assert setting.meaning[0].isupper()
    assert setting.meaning[-1] == "."


def test_a_wrong_setting_is_an_error_of_ours_and_of_django():
    assert issubclass(ConfigurationError, SessionsPlusError)
    assert issubclass(ConfigurationError, ImproperlyConfigured)
    assert ConfigurationError.code == "configuration"


def test_a_setting_is_read_anew_each_time():
    assert config.PAGE_SIZE == 50
    with override_settings(SESSIONS_PLUS_PAGE_SIZE=7):
        assert config.PAGE_SIZE == 7
    assert config.PAGE_SIZE == 50


def test_all_settings_are_declared_in_order_and_under_their_full_names():
    attributes = [name for name, value in vars(Config).items() if isinstance(value, Setting)]
    assert list(declared()) == [conf.PREFIX + name for name in attributes]


def test_there_is_no_limit_of_sessions_by_default():
    assert config.max_per_user(None) is None


@pytest.mark.parametrize(
    ("value", "limit"),
    [
        (5, 5),
        (None, None),
        (three, 3),
        (no_limit, None),
        ("tests.test_conf.three", 3),
        ("tests.test_conf.no_limit", None),
    ],
)
def test_the_limit_of_sessions_can_be_a_number_a_callable_or_a_path(value: Any, limit: int | None):
    with override_settings(SESSIONS_PLUS_MAX_PER_USER=value):
        assert config.max_per_user("anybody") == limit


def test_the_limit_of_sessions_can_depend_on_the_user():
    with override_settings(SESSIONS_PLUS_MAX_PER_USER={"ada": 1}.get):
        assert config.max_per_user("ada") == 1
        assert config.max_per_user("grace") is None


@pytest.mark.parametrize(
    "value",
    [
        "tests.nowhere.limit",
        "limit",
        zero,
        "tests.test_conf.zero",
        lambda user: "5",
        "tests.test_conf.ZERO",
    ],
)
def test_a_limit_that_cannot_be_worked_out_is_a_configuration_error(value: Any):
    with (
        override_settings(SESSIONS_PLUS_MAX_PER_USER=value),
        pytest.raises(ConfigurationError, match="SESSIONS_PLUS_MAX_PER_USER"),
    ):
        config.max_per_user("anybody")
