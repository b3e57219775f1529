"""GET .well-known/jwks.json: the one answer that is for everybody, and for caches."""

import jwt
import pytest

from django_sessions_plus.jwt import keys
from django_sessions_plus.models import Session
from tests.api.conftest import ApiClient, code
from tests.jwt.conftest import ASYMMETRIC, SECRETS

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.api.urls")]

ADDRESS = "/auth/.well-known/jwks.json"


@pytest.fixture
def _public(settings, entry):
    every = [entry(name, kid=name) for name in ASYMMETRIC]
    settings.SESSIONS_PLUS_JWT_KEYS = [*every, entry("HS256", kid="secret")]


@pytest.mark.usefixtures("_public")
def test_it_tells_the_public_keys_and_no_others(django_assert_num_queries):
    with django_assert_num_queries(0):
        answer = ApiClient().send("get", ADDRESS)
    assert (answer.status_code, answer["Content-Type"]) == (200, "application/json")
    assert answer.json() == keys.jwks()
    assert [key["kid"] for key in answer.json()["keys"]] == ASYMMETRIC
    for key in answer.json()["keys"]:
        assert not key.keys() & {"d", "p", "q", "dp", "dq", "qi", "k"}
    assert SECRETS["HS256"] not in answer.content.decode()


@pytest.mark.usefixtures("_public")
def test_caches_may_keep_it(client):
    answer = client.send("get", ADDRESS)
    assert answer["Cache-Control"] == "public, max-age=900"
    assert "Vary" not in answer
    assert not answer.cookies


@pytest.mark.usefixtures("_public")
def test_it_is_the_same_for_everybody(by_cookie):
    expected = ApiClient().send("get", ADDRESS)
    for token in (None, "x" * 32, "a.b.c"):
        by_cookie.token = token
        answer = by_cookie.send("get", ADDRESS)
        assert (answer.status_code, answer.content) == (200, expected.content)
        assert answer.headers == expected.headers


@pytest.mark.usefixtures("_public")
@pytest.mark.parametrize("token", ["good", "unknown"])
def test_it_leaves_the_session_alone_also_where_every_request_saves_it(
    by_cookie, settings, token, django_assert_num_queries
):
    expected = ApiClient().send("get", ADDRESS)
    settings.SESSION_SAVE_EVERY_REQUEST = True
    if token == "unknown":
        by_cookie.cookies["sessionid"] = "x" * 32
    with django_assert_num_queries(0):
        answer = by_cookie.send("get", ADDRESS)
    assert answer.headers == expected.headers
    assert not answer.cookies


@pytest.mark.usefixtures("_public")
def test_what_is_known_already_is_not_sent_again(client, settings, entry):
    first = client.send("get", ADDRESS)
    known = {"If-None-Match": first["ETag"]}
    answer = client.send("get", ADDRESS, headers=known)
    assert (answer.status_code, answer.content) == (304, b"")
    assert answer["ETag"] == first["ETag"]
    assert answer["Cache-Control"] == "public, max-age=900"
    assert client.send("get", ADDRESS, headers={"If-None-Match": '"x"'}).status_code == 200
    settings.SESSIONS_PLUS_JWT_KEYS = [entry("ES256")]
    answer = client.send("get", ADDRESS, headers=known)
    assert answer.status_code == 200
    assert answer["ETag"] != first["ETag"]


@pytest.mark.parametrize("algorithm", ASYMMETRIC)
def test_another_service_can_verify_with_it(client, settings, entry, algorithm):
    settings.SESSIONS_PLUS_JWT_KEYS = [entry(algorithm)]
    token = client.sign_in(transport="jwt").json()["access"]
    published = jwt.PyJWKSet.from_dict(client.send("get", ADDRESS).json())
    claims = jwt.decode(
        token,
        published[jwt.get_unverified_header(token)["kid"]].key,
        algorithms=[algorithm],
        audience="django-sessions-plus",
        issuer="django-sessions-plus",
    )
    assert claims["sid"] == str(Session.objects.get().pk)


def test_where_there_are_but_secrets_there_is_nothing(client):
    """An empty set would be kept by caches; what is not there is asked for again."""
    answer = client.send("get", ADDRESS)
    assert (answer.status_code, code(answer)) == (404, "not_found")
    assert not answer.has_header("ETag")


@pytest.mark.usefixtures("_public")
@pytest.mark.parametrize("method", ["post", "delete", "put"])
def test_other_methods_do_nothing(client, method):
    assert code(client.send(method, ADDRESS)) == "method_not_allowed"


@pytest.mark.usefixtures("_public")
def test_head_tells_whether_it_has_changed(client):
    answer = client.send("head", ADDRESS)
    assert (answer.status_code, answer["Cache-Control"]) == (200, "public, max-age=900")
    assert answer["ETag"] == client.send("get", ADDRESS)["ETag"]
