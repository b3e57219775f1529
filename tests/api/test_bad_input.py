"""Bodies nobody should send: a 4xx in the one form, never a 5xx, and never an echo."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from django_sessions_plus.models import Session
from tests.api.conftest import PASSWORD, code

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.api.urls")]

CANARY = "canary-7f3a"
ADDRESSES = ["sign-in", "reauthenticate", "sessions/revoke"]


def raw(client, name, body, content_type="application/json", **extra):
    answer = client.generic("POST", f"/auth/{name}", body, content_type=content_type, **extra)
    assert CANARY not in answer.content.decode() + str(answer.headers)
    return answer


@pytest.mark.parametrize("name", ADDRESSES)
@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"\xff\xfe",
        b'{"password": "\xff"}',
        b"\xef\xbb\xbf{}",
        b"\x00",
        b"NaN",
        b'{"password": Infinity}',
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"[" * 100_000 + b"]" * 100_000,
        b"9" * 10_000,
        f'{{"password": "{CANARY}"'.encode(),
        '{"password": "x"}'.encode("utf-16"),
    ],
    ids=range(13),
)
def test_what_is_no_json_is_refused(by_cookie, name, body):
    answer = raw(by_cookie, name, body)
    # Deep but well-formed: some interpreters read it, and then it is the wrong kind.
    expected = {"parse_error", "invalid"} if body.endswith(b"]") else {"parse_error"}
    assert answer.status_code == 400
    assert code(answer) in expected


@pytest.mark.parametrize("charset", ["utf-16", "bz2_codec", "rot13", "hex", "idna", CANARY, ""])
def test_a_charset_changes_nothing(client, charset):
    body = json.dumps({"username": "ada", "password": PASSWORD})
    answer = raw(client, "sign-in", body, f"application/json; charset={charset}")
    assert answer.status_code == 200


VALUES: list[Any] = [
    None,
    True,
    1,
    1.5,
    10**400,
    [],
    ["x"],
    {},
    {"x": "y"},
    [[[]]],
    "",
    "\x00",
    "\ud800",
]


@pytest.mark.parametrize("field", ["username", "password"])
@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_what_is_no_text_is_refused(client, field, value):
    answer = client.sign_in(**{"username": "ada", "password": PASSWORD} | {field: value})
    assert (answer.status_code, code(answer)) == (400, "invalid")
    assert answer.json()["fields"].keys() == {field}


@pytest.mark.parametrize("field", ["transport", "remember"])
@pytest.mark.parametrize("value", [None, 1, "yes", "true", [], {}, ["cookie"], CANARY], ids=repr)
def test_what_is_no_word_and_no_truth_value_is_refused(client, field, value):
    answer = client.sign_in(**{field: value})
    assert (answer.status_code, code(answer)) == (400, "invalid")
    assert answer.json()["fields"].keys() == {field}
    assert CANARY not in answer.content.decode()


@pytest.mark.parametrize("field", ["username", "password", "transport", "remember", "scope"])
@pytest.mark.parametrize("depth", [400, 900, 5_000])
def test_deep_nesting_is_refused_in_every_field(by_cookie, field, depth):
    fields = {"username": '"ada"', "password": '"x"'} | {field: "[" * depth + "]" * depth}
    body = "{" + ",".join(f'"{name}":{value}' for name, value in fields.items()) + "}"
    for name in ADDRESSES:
        assert raw(by_cookie, name, body).status_code in {400, 401, 403}


@pytest.mark.parametrize("name", ADDRESSES)
@pytest.mark.parametrize("body", ["[]", '"x"', "1", "null", "true", "[[]]", f'["{CANARY}"]', ""])
def test_what_is_no_object_is_refused(by_cookie, name, body):
    answer = raw(by_cookie, name, body)
    assert (answer.status_code, code(answer)) == (400, "invalid")


@pytest.mark.parametrize("name", ADDRESSES)
@pytest.mark.parametrize(
    "content_type",
    [
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "multipart/form-data",
        "text/plain",
        "text/html",
        f"application/{CANARY}",
        "nonsense",
        "x" * 10_000,
    ],
)
def test_only_json_is_taken(by_cookie, name, content_type):
    answer = raw(by_cookie, name, f"password={CANARY}", content_type)
    assert (answer.status_code, code(answer)) == (415, "unsupported_media_type")


@pytest.mark.parametrize(
    "content_type", ["multipart/form-data", "multipart/form-data; boundary=" + "x" * 500]
)
def test_a_broken_form_does_not_break_the_csrf_check(browser, by_cookie, content_type):
    browser.cookies["sessionid"] = by_cookie.cookies["sessionid"].value
    browser.send("get", "session")
    answer = raw(browser, "sessions/revoke", "--x", content_type)
    assert answer.status_code in {400, 403}
    assert code(answer) in {"parse_error", "csrf_failed"}


def test_a_body_that_is_too_large_is_refused(client, settings):
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 1000
    answer = client.sign_in(password="x" * 2000)
    assert (answer.status_code, code(answer)) == (413, "request_too_large")


@pytest.mark.parametrize(("field", "size"), [("username", 1025), ("password", 4097)])
def test_a_text_that_is_too_long_is_refused(client, field, size):
    assert client.sign_in(**{field: "x" * size}).json()["fields"].keys() == {field}


def test_the_longest_texts_are_merely_wrong(client):
    answer = client.sign_in("x" * 1024, "x" * 4096)
    assert code(answer) == "invalid_credentials"


def test_unknown_fields_are_ignored(client):
    assert client.sign_in(user_id=1, is_staff=True).status_code == 200


def test_a_method_nobody_knows_is_refused_without_repeating_it(client):
    answer = client.generic("CANARY", "/auth/session")
    assert (answer.status_code, code(answer)) == (405, "method_not_allowed")
    assert "CANARY" not in answer.content.decode()


@pytest.mark.parametrize("address", ["", ":80", "1.2.3.4:5", "::1%eth0", "x", "::ffff:1.2.3.4"])
@pytest.mark.parametrize("transport", ["cookie", "bearer"])
def test_odd_addresses_do_not_keep_anybody_out(client, address, transport):
    body = {"username": "ada", "password": PASSWORD, "transport": transport}
    answer = client.send(
        "post",
        "sign-in",
        body,
        REMOTE_ADDR=address,
        headers={"User-Agent": "x\x00" * 500_000, "X-Forwarded-For": "1," * 5000},
    )
    assert answer.status_code == 200


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@given(
    body=st.dictionaries(
        st.sampled_from(["username", "password", "transport", "remember", "scope"]), json_values
    )
)
def test_no_body_breaks_anything(by_cookie, settings, body):
    settings.SESSIONS_PLUS_RATES = {"sign_in": None, "reauthenticate": None}
    text = json.dumps(body)
    for name in ADDRESSES:
        assert raw(by_cookie, name, text).status_code < 500
    assert Session.objects.exists()
