"""Settings: how they are read, what they take, and that they are declared well."""

from datetime import timedelta
from typing import Any, get_args

import pytest
from django.apps import apps
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings

from django_sessions_plus import conf
from django_sessions_plus.conf import Config, Setting, callables, config, declared, kinds
from django_sessions_plus.conf.kinds import RateName
from django_sessions_plus.exceptions import ConfigurationError, SessionsPlusError

SECOND = timedelta(seconds=1)
ZERO = timedelta(0)

# kind -> what it takes, and what it does not.
KINDS: list[tuple[kinds.Kind, list[Any], list[Any]]] = [
    (kinds.DURATION, [ZERO, SECOND], [-SECOND, 1, 1.5, "1", None]),
    (kinds.POSITIVE_DURATION, [SECOND], [ZERO, -SECOND, 1, None]),
    (kinds.OPTIONAL_DURATION, [SECOND, None], [ZERO, -SECOND, 60, False]),
    (kinds.SWITCH, [True, False], [1, 0, "yes", None]),
    (kinds.KEPT_SOURCE, [True, False, "data"], [1, 0, "yes", None]),
    (kinds.COUNT, [1, 10**6], [0, -1, True, 1.0, "1", None]),
    (kinds.FRACTION, [0, 0.01, 1, 1.0], [-0.1, 1.1, True, "0.5", None, float("nan")]),
    (kinds.LIMIT, [1, None, len, "path.to.callable"], [0, -1, True, 1.5, [1]]),
    (
        kinds.NETWORKS,
        [[], (), ["10.0.0.1"], ("10.0.0.0/8", "fd00::/8"), ["10.0.0.1/8"], ["unix"]],
        ["10.0.0.1", None, ["10.0.0"], ["10.0.0.1:80"], [1], [None], {"10.0.0.1"}],
    ),
    (kinds.TEXT, ["a"], ["", None, 1]),
    (kinds.LEASE_CHANNEL, ["database", "redis://host/0", "default"], ["", None, 1, ["database"]]),
    (kinds.OPTIONAL_TEXT, ["a", None], ["", 1]),
    (
        kinds.OPTIONAL_ADDRESS,
        [None, "https://example.com/devices/", "http://localhost:8000/", "https://[2001:db8::1]/"],
        [
            *("", "/devices/", "devices", "//example.com/", "javascript:alert(1)", "https://", 1),
            *("https://example.com/a b", "https://example.com/\nBcc: eve", "https://[::1/"),
        ],
    ),
    (kinds.SIGN_IN_HOOK, [False, len, "path.to.callable"], [True, None, "", 0, 1, []]),
    (kinds.OPTIONAL_CALLABLE, [None, len, "path.to.callable"], ["", 1, []]),
    (
        kinds.RATES,
        [{}, *({"email": rate} for rate in (None, "1/s", "10/min", "100/hour", "5/d"))],
        [
            *("10/min", None, ["10/min"], {"mail": "10/min"}, {1: None}),
            *({"email": rate} for rate in ("", "10", "0/min", "-1/min", "1.5/min", "10/year")),
            *({"email": rate} for rate in ("/min", 10, "min/10")),
        ],
    ),
    (
        kinds.COOKIE_NAMES,
        [[], ["sessionid"], ("sid", "__Host-session")],
        ["sessionid", None, [1], ["a name"], [""]],
    ),
    (
        kinds.COOKIE_NAME,
        ["a", "refresh_token", "__Secure-refresh", "R.2"],
        ["", "a b", "a=b", "a;", "é", "__Host-refresh", "__host-refresh", "a\n", None, 1],
    ),
    (
        kinds.FIELDS,
        [[], ["email"], ("email", "username"), "users.card", len],
        ["email", [""], [1], None, {"email"}],
    ),
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
    (
        kinds.LIFETIMES,
        [
            None,
            {},
            {"cookie": {}},
            {"bearer": {"idle": SECOND, "absolute": None}, "jwt": {"absolute": SECOND}},
            {"token": {"absolute": SECOND}},
            "path.to.callable",
            len,
        ],
        [
            "",
            SECOND,
            [],
            {"bearer": SECOND},
            {"socket": {}},
            {"bearer": {"idel": SECOND}},
            {"bearer": {"idle": None}},
            {"bearer": {"idle": 1}},
            {"bearer": {"absolute": ZERO}},
            {1: {}},
            {"token": {"idle": SECOND}},
        ],
    ),
    (kinds.TEXTS, [[], ["a"], ("a",)], ["a", [""], [1], None]),
    (kinds.SITE_DATA, [[], ["cache", "storage"], ("*",)], ["cache", ["all"], [1], None]),
    (kinds.ISSUER, ["a", len], ["", None, 1, ["a"]]),
    (kinds.AUDIENCE, ["a", ["a"], ("a", "b"), len], ["", [], [""], ["a", 1], None, {"a"}]),
    (
        kinds.CLAIMS,
        [[], ["email"], ("email",), "path.to.callable", len],
        ["", None, 1, [""], [1], {"email": 1}],
    ),
    (
        kinds.KEYS,
        [None, [{}], ({"secret": "a"},), "path.to.callable", len],
        [[], {}, "", ["secret"], [None], 1],
    ),
    (kinds.one_of("full", "off"), ["full", "off"], ["", "FULL", None, 1]),
]
SETTINGS = list(declared().values())


def three(user: Any) -> int:
    return 3


def no_limit(user: Any) -> None:
    return None


def zero(user: Any) -> int:
    return 0


@pytest.mark.parametrize(("kind", "good", "bad"), KINDS)
def test_a_kind_takes_what_it_describes_and_nothing_else(
    kind: kinds.Kind, good: list[Any], bad: list[Any]
):
    assert [value for value in good if not kind.accepts(value)] == []
    assert [value for value in bad if kind.accepts(value)] == []


def test_every_kind_in_use_is_tested_here():
    tested = {kind.wants for kind, _, _ in KINDS}
    for setting in SETTINGS:
        assert setting.kind.wants in tested or setting.kind.wants.startswith("one of ")


def test_a_setting_has_its_default_until_it_is_set():
    for setting in SETTINGS:
        attribute = setting.name.removeprefix(conf.PREFIX)
        assert getattr(config, attribute) == setting.default, setting.name
        assert getattr(Config, attribute) is setting, setting.name


def test_a_default_is_of_the_kind_of_its_setting():
    assert [each.name for each in SETTINGS if not each.kind.accepts(each.default)] == []


def test_a_value_is_kept_until_the_setting_changes(settings: Any):
    settings.SESSIONS_PLUS_FRESH_AGE = SECOND
    assert config.FRESH_AGE == SECOND
    assert vars(config)["FRESH_AGE"] == SECOND
    with override_settings(SESSIONS_PLUS_FRESH_AGE=2 * SECOND):
        assert config.FRESH_AGE == 2 * SECOND
    assert config.FRESH_AGE == SECOND


def test_a_value_is_not_kept_while_apps_may_still_assign_settings(
    settings: Any, monkeypatch: pytest.MonkeyPatch
):
    settings.SESSIONS_PLUS_FRESH_AGE = SECOND
    monkeypatch.setattr(apps, "ready", False)
    assert config.FRESH_AGE == SECOND
    assert "FRESH_AGE" not in vars(config)


def test_a_wrong_value_is_not_kept(settings: Any):
    settings.SESSIONS_PLUS_FRESH_AGE = 1
    for _ in range(2):
        with pytest.raises(ConfigurationError):
            assert config.FRESH_AGE


def test_a_wrong_value_is_an_error_that_names_the_setting():
    for setting in SETTINGS:
        with (
            override_settings(**{setting.name: object()}),
            pytest.raises(ConfigurationError, match=f"^{setting.name} must be ") as caught,
        ):
            setting.read()
        assert setting.kind.wants in str(caught.value), setting.name


def test_the_value_of_a_secret_setting_stays_out_of_the_error():
    with (
        override_settings(SESSIONS_PLUS_JWT_KEYS={"secret": "tell nobody"}),
        pytest.raises(ConfigurationError, match=r"^SESSIONS_PLUS_JWT_KEYS must be ") as caught,
    ):
        assert config.JWT_KEYS
    assert "tell nobody" not in str(caught.value)


def test_a_meaning_is_made_of_sentences():
    for setting in SETTINGS:
        assert setting.meaning[0].isupper(), setting.name
        assert setting.meaning[-1] == ".", setting.name


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


def test_a_rate_that_is_not_given_has_its_default():
    assert config.rate("sign_in") == "10/min"
    with override_settings(SESSIONS_PLUS_RATES={"sign_in": "3/h", "email": None}):
        assert (config.rate("sign_in"), config.rate("email")) == ("3/h", None)
        assert config.rate("refresh") == "60/min"
    assert config.rate("sign_in") == "10/min"


def test_every_rate_has_a_default():
    assert list(Config.RATES.default) == list(get_args(RateName))


def test_there_is_no_limit_of_sessions_by_default():
    assert callables.max_per_user(None) is None


@pytest.mark.parametrize(
    ("value", "limit"),
    [
        (5, 5),
        (None, None),
        (three, 3),
        (no_limit, None),
        ("tests.conf.test_conf.three", 3),
        ("tests.conf.test_conf.no_limit", None),
    ],
)
def test_the_limit_of_sessions_can_be_a_number_a_callable_or_a_path(value: Any, limit: int | None):
    with override_settings(SESSIONS_PLUS_MAX_PER_USER=value):
        assert callables.max_per_user("anybody") == limit


def test_the_limit_of_sessions_can_depend_on_the_user():
    with override_settings(SESSIONS_PLUS_MAX_PER_USER={"ada": 1}.get):
        assert callables.max_per_user("ada") == 1
        assert callables.max_per_user("grace") is None


@pytest.mark.parametrize(
    "value",
    [
        "tests.nowhere.limit",
        "limit",
        zero,
        "tests.conf.test_conf.zero",
        lambda user: "5",
        "tests.conf.test_conf.ZERO",
    ],
)
def test_a_limit_that_cannot_be_worked_out_is_a_configuration_error(value: Any):
    with (
        override_settings(SESSIONS_PLUS_MAX_PER_USER=value),
        pytest.raises(ConfigurationError, match="SESSIONS_PLUS_MAX_PER_USER"),
    ):
        callables.max_per_user("anybody")
