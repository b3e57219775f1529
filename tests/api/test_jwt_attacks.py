"""What somebody could present to the API in place of a token, wherever it takes one.

``tests/jwt`` has the same attacks on the functions, with more of each; these see that no
edge opens what they refuse, answers anything but a 401, or asks the database.
"""

from datetime import timedelta

import pytest
from django.test import override_settings
from django.utils import timezone

from django_sessions_plus.jwt import access, keys
from django_sessions_plus.models import Session
from tests.api.conftest import ApiClient, code
from tests.jwt.conftest import ASYMMETRIC
from tests.jwt.forging import parts, segment, signed, with_hmac

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.api.urls")]

VIEWS = ("session", "/mine", "/open/access", "/stateless")


@pytest.fixture
def header(service):
    return parts(service.token)[0]


@pytest.fixture
def claims(service):
    return parts(service.token)[1]


def opens(token):
    """Tell whether a token opens anything, having seen how it is refused."""
    client, opened = ApiClient(), []
    client.token = token
    for address in VIEWS:
        answer = client.send("get", address)
        if answer.status_code == 200:
            opened.append(address)
            continue
        assert answer.status_code == 401
        assert answer.json()["code"] == "invalid_token"
        assert 'error="invalid_token"' in answer["WWW-Authenticate"]
        assert len(token) < 4 or token not in answer.content.decode() + str(answer.headers)
    assert len(opened) in (0, len(VIEWS))
    # In JSON a NUL is no part of any text that is taken.
    answer = client.refresh(token.strip("\x00") or "x")
    assert (answer.status_code, code(answer)) == (401, "invalid_token")
    assert Session.objects.get().ended_at is None
    return bool(opened)


@pytest.fixture
def refused(service, django_assert_num_queries):
    """Fail unless each of these is refused everywhere, at no more queries than seeing that takes."""

    def check(*tokens):
        assert tokens
        for token in tokens:
            with django_assert_num_queries(1):
                assert not opens(token)

    return check


def test_what_is_forged_with_the_key_itself_opens_so_that_refusals_mean_something(
    service, header, claims
):
    assert opens(service.token)
    assert opens(signed(header, claims))


@pytest.mark.parametrize("name", ["none", "None", "NONE", "nOnE", "", None])
def test_no_signature_is_no_signature(refused, header, claims, name):
    unsigned = f"{segment({**header, 'alg': name})}.{segment(claims)}"
    refused(
        f"{unsigned}.", f"{unsigned}.{segment('none')}", signed({**header, "alg": name}, claims)
    )


@pytest.mark.parametrize("name", ASYMMETRIC)
def test_a_public_key_is_no_secret(service, entry, pems, name):
    with override_settings(SESSIONS_PLUS_JWT_KEYS=[entry(name, kid="a"), entry("HS256", kid="b")]):
        header, claims, _ = parts(access.issue(Session.objects.get()).token)
        for kid in ("a", "b"):
            forged = {**header, "alg": "HS256", "kid": kid}
            assert not opens(with_hmac(forged, claims, pems[name].pem))


def test_a_foreign_kid_is_none_of_ours(refused, header, claims, settings):
    for kid in ("foreign", "", None, 5, "../../etc/passwd", "' OR 1=1 --"):
        refused(signed({**header, "kid": kid}, claims))


def test_a_token_of_another_site_is_none_of_ours(service):
    with override_settings(SECRET_KEY="of another site, with the same kid or not"):
        foreign = access.issue(Session.objects.get()).token
        claims = parts(foreign)[1]
        own_kid = {**parts(service.token)[0]}
        forged = signed(own_kid, claims)
    assert not opens(foreign)
    assert not opens(forged)


@pytest.mark.parametrize("name", ["jku", "jwk", "x5u", "x5c", "crit", "b64", "zip"])
def test_a_token_brings_no_key_and_no_rules_of_its_own(refused, header, claims, name):
    value = {"jku": "https://evil.example/keys", "jwk": {"kty": "oct", "k": "AA"}}.get(name, ["x"])
    refused(signed({**header, name: value}, claims))


@pytest.mark.parametrize(
    ("claim", "values"),
    [
        ("typ", ["JWT", "jwt", "", "rt+jwt", "id_token", None]),
        ("type", ["refresh", "id", "", None, ["access"]]),
        ("aud", ["another", "", [], ["another"], None, {"django-sessions-plus": 1}]),
        ("iss", ["another", "", None, ["django-sessions-plus"]]),
        ("sub", ["", None, 1, ["1"]]),
        ("sid", ["", "x", None, 5, "{00000000-0000-0000-0000-000000000000}"]),
        ("exp", [None, "9999999999", True, 1e99, -1, float("inf")]),
    ],
)
def test_a_claim_that_is_wrong_or_missing_is_refused(refused, header, claims, claim, values):
    for value in values:
        if claim == "typ":
            refused(signed({**header, claim: value}, claims))
        else:
            refused(signed(header, {**claims, claim: value}))
    if claim != "typ":
        refused(signed(header, {name: each for name, each in claims.items() if name != claim}))


def test_a_token_that_is_not_yet_valid_is_refused(refused, header, claims):
    later = int((timezone.now() + timedelta(minutes=2)).timestamp())
    refused(
        signed(header, {**claims, "nbf": later}),
        signed(header, {**claims, "iat": later}),
        signed(header, {**claims, "nbf": later, "iat": later}),
    )


def test_nobody_learns_of_a_token_that_is_not_ours_that_it_has_expired(refused, header, claims):
    refused(
        signed(header, {**claims, "exp": 1, "aud": "another"}),
        with_hmac(header, {**claims, "exp": 1}, b"x" * 32),
    )


def test_one_bit_makes_it_another_token(service):
    """At every position of the signature and at some of the rest; tests/jwt does them all."""
    client = ApiClient()
    positions = [*range(0, len(service.token), 7), len(service.token) - 1]
    for position in positions:
        byte = ord(service.token[position])
        for bit in (1, 32):
            client.token = (
                service.token[:position] + chr(byte ^ bit) + service.token[position + 1 :]
            )
            answer = client.send("get", "session")
            assert (answer.status_code, code(answer)) == (401, "invalid_token")


def test_a_refresh_token_is_no_access_token_and_an_access_token_no_refresh_token(service):
    client = ApiClient()
    client.token = service.refresh_token
    for address in VIEWS:
        answer = client.send("get", address)
        assert (answer.status_code, answer.json()["code"]) == (401, "invalid_token")
    assert code(client.refresh(service.token)) == "invalid_token"
    assert service.refresh().status_code == 200


def test_a_session_token_is_no_jwt_and_a_jwt_no_session_token(service, app):
    client = ApiClient()
    token = app.token
    for dressed in (f"{token}.{token}.{token}", f"a.{token}.c", f"{segment(token)}.."):
        client.token = dressed
        assert code(client.send("get", "session")) == "invalid_token"
    assert code(client.refresh(token)) == "invalid_token"
    for piece in service.token.split("."):
        client.token = piece
        assert client.send("get", "session").status_code == 401


@pytest.mark.parametrize(
    "token",
    [
        "..",
        ".a.",
        "a.b.c",
        "a.b.c.d",
        "a.b",
        "x" * 100_000,
        f"{'x' * 50_000}.{'y' * 50_000}.{'z' * 50_000}",
        "." * 100_000,
        "eyJhbGciOiJub25lIn0.e30.",
        "\u0663\u0663.\u0663.\u0663",
        "a.b.\u00e9",
        "\U0001f511.\U0001f511.\U0001f511",
        "a.b.c\x00",
        "a. b.c",
        "a.b.c, a.b.c",
        f"{segment('[' * 5000)}.{segment('[' * 5000)}.c",
        f"{segment({'alg': 'HS256', 'kid': 'x', 'typ': 'at+jwt'})}.{segment('{' * 3000)}.c",
    ],
)
def test_nonsense_of_any_length_is_refused(refused, token):
    # What WSGI servers make of the bytes of a header.
    refused(token.encode().decode("latin-1"))


def test_what_a_dump_of_the_table_holds_opens_nothing(service, refused):
    service.refresh()
    row = Session.objects.get()
    for field in row._meta.concrete_fields:
        value = str(field.value_from_object(row))
        if value:
            refused(value, f"rt1.{value}", f"{value}.{value}.{value}")


def test_who_knows_the_id_and_not_the_key_makes_no_token(service, refused, claims):
    header = {"alg": "HS256", "kid": keys.signing_key().kid, "typ": "at+jwt"}
    for secret in (b"", b"secret", str(Session.objects.get().pk).encode()):
        refused(with_hmac(header, claims, secret))
