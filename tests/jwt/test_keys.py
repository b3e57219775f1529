"""Keys: where they come from, which are refused, how they are exchanged and published."""

import json
from pathlib import Path

import jwt
import pytest
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings
from jwt import PyJWK

from django_sessions_plus.conf import Config
from django_sessions_plus.exceptions import ConfigurationError, TokenError
from django_sessions_plus.jwt import access, algorithms, compact, keys
from django_sessions_plus.jwt.algorithms import BadKeyError
from tests.jwt.conftest import ASYMMETRIC, NOW, SECRETS, SYMMETRIC
from tests.jwt.forging import parts

AUDIENCE = ISSUER = "django-sessions-plus"
LONG = "0123456789abcdef" * 4


def sign(session):
    return access.issue(session, now=NOW).token


def accepted(token):
    try:
        access.verify(token, now=NOW)
    except TokenError:
        return False
    return True


def decoded_by_others(token, key, algorithm):
    """Return the claims as PyJWT reads them, with everything it can be told to verify but the time."""
    return jwt.decode(
        token,
        key,
        algorithms=[algorithm],
        audience=AUDIENCE,
        issuer=ISSUER,
        options={
            "verify_exp": False,
            "verify_nbf": False,
            "verify_iat": False,
            "require": ["exp", "iat", "nbf", "sub", "jti"],
        },
    )


# Derived from SECRET_KEY


@pytest.mark.parametrize("name", SYMMETRIC)
def test_without_configured_keys_tokens_are_signed_by_a_key_derived_for_that(session, name):
    with override_settings(SESSIONS_PLUS_JWT_ALGORITHM=name):
        token = sign(session)
        (key,) = keys.derive(f"access-token/{name}", length=algorithms.SECRET_BYTES[name])
        header, claims, _ = parts(token)
        assert header == {"alg": name, "kid": keys.signing_key().kid, "typ": "at+jwt"}
        assert decoded_by_others(token, key, name) == claims
        assert accepted(token)


def test_the_secret_key_itself_signs_nothing(session, settings):
    with pytest.raises(jwt.InvalidSignatureError):
        decoded_by_others(sign(session), settings.SECRET_KEY, "HS256")


def test_a_derived_key_keeps_its_name_and_tells_nothing_by_it():
    with override_settings(SECRET_KEY="a secret"):
        assert keys.signing_key().kid == "N2d6BXuA"
        (secret,) = keys.derive("access-token/HS256")
    assert compact.decode("N2d6BXuA") not in secret


def test_tokens_signed_under_an_earlier_secret_key_verify_while_it_is_a_fallback(session):
    with override_settings(SECRET_KEY="old"):
        token = sign(session)
    with override_settings(SECRET_KEY="new", SECRET_KEY_FALLBACKS=["older", "old"]):
        assert accepted(token)
        assert parts(sign(session))[0]["kid"] != parts(token)[0]["kid"]
        newer = sign(session)
    with override_settings(SECRET_KEY="new", SECRET_KEY_FALLBACKS=[]):
        assert not accepted(token)
        assert accepted(newer)


def test_a_fallback_that_is_the_key_itself_does_no_harm(session):
    with override_settings(SECRET_KEY="same", SECRET_KEY_FALLBACKS=["same"]):
        assert accepted(sign(session))


@pytest.mark.parametrize("name", ASYMMETRIC)
def test_no_asymmetric_key_can_be_derived(name):
    with (
        override_settings(SESSIONS_PLUS_JWT_ALGORITHM=name),
        pytest.raises(BadKeyError, match="JWT_KEYS"),
    ):
        keys.signing_key()


def test_an_empty_fallback_is_refused():
    with (
        override_settings(SECRET_KEY_FALLBACKS=[""]),
        pytest.raises(BadKeyError, match="empty secret"),
    ):
        keys.signing_key()


# Configured


def test_every_algorithm_signs_what_others_verify(session, algorithm, pems):
    token = sign(session)
    header, claims, _ = parts(token)
    key = SECRETS[algorithm] if algorithm in SECRETS else pems[algorithm].pem
    assert header == {"alg": algorithm, "kid": "ours", "typ": "at+jwt"}
    assert decoded_by_others(token, key, algorithm) == claims
    assert accepted(token)


def test_the_settings_name_the_algorithms_there_are():
    assert Config.JWT_ALGORITHM.kind.accepts(algorithms.ALGORITHMS[0])
    assert str(algorithms.ALGORITHMS)[1:-1] in Config.JWT_ALGORITHM.kind.wants


@pytest.mark.parametrize("name", [*SYMMETRIC, *ASYMMETRIC])
def test_a_key_without_an_algorithm_is_for_the_one_that_is_set(session, entry, name):
    key = entry(name)
    del key["algorithm"]
    with override_settings(SESSIONS_PLUS_JWT_ALGORITHM=name, SESSIONS_PLUS_JWT_KEYS=[key]):
        assert parts(sign(session))[0]["alg"] == name


def test_the_first_key_signs_and_all_verify(session, entry):
    every = [entry(name, kid=name) for name in (*SYMMETRIC, *ASYMMETRIC)]
    issued = []
    for key in every:
        others = [other for other in every if other is not key]
        with override_settings(SESSIONS_PLUS_JWT_KEYS=[key, *others]):
            issued.append(sign(session))
            assert parts(issued[-1])[0]["kid"] == key["kid"]
    with override_settings(SESSIONS_PLUS_JWT_KEYS=every):
        assert all(map(accepted, issued))
    with override_settings(SESSIONS_PLUS_JWT_KEYS=every[:1]):
        assert list(map(accepted, issued)) == [True, *[False] * 5]


@pytest.mark.parametrize("name", ASYMMETRIC)
def test_a_service_with_the_public_key_verifies_what_it_cannot_sign(session, entry, pems, name):
    with override_settings(SESSIONS_PLUS_JWT_KEYS=[entry(name)]):
        token = sign(session)
    public = {"algorithm": name, "file": str(pems[name].public)}
    with override_settings(SESSIONS_PLUS_JWT_KEYS=[entry("HS256"), public]):
        assert accepted(token)
        key = keys.verification_key(parts(token)[0]["kid"], name)
        assert key is not None
        assert not key.can_sign


def test_a_private_key_may_be_locked_by_a_password(session, pems):
    for name in ASYMMETRIC:
        key = {"algorithm": name, "file": pems[name].locked, "password": "open"}
        with override_settings(SESSIONS_PLUS_JWT_KEYS=[key]):
            assert accepted(sign(session))
        for wrong in ({}, {"password": "shut"}):
            locked = {"algorithm": name, "file": pems[name].locked, **wrong}
            with (
                override_settings(SESSIONS_PLUS_JWT_KEYS=[locked]),
                pytest.raises(BadKeyError, match="password is wrong"),
            ):
                keys.ring()


def test_a_key_file_is_read_once(session, entry, monkeypatch):
    read = []
    monkeypatch.setattr(
        keys, "_read", lambda name, file: read.append(file) or Path(file).read_bytes()
    )
    with override_settings(SESSIONS_PLUS_JWT_KEYS=[entry("ES256")]):
        assert accepted(sign(session))
        assert accepted(sign(session))
        assert len(read) == 1
        with override_settings(SESSIONS_PLUS_PAGE_SIZE=3):
            keys.ring()
        assert len(read) == 2


def test_no_secret_is_shown_by_a_key_or_the_ring(entry, pems):
    every = [entry(name, kid=name) for name in (*SYMMETRIC, *ASYMMETRIC)]
    with override_settings(SESSIONS_PLUS_JWT_KEYS=every):
        shown = repr(keys.ring()) + str(keys.signing_key()) + repr(vars(keys))
    assert "Key(kid='HS256', algorithm='HS256')" in shown
    for name, secret in SECRETS.items():
        assert secret not in shown, name
    assert "object at" not in repr(keys.signing_key())


# Refused


def refused(*entries, **settings):
    """Return the error for these entries."""
    values = {"SESSIONS_PLUS_JWT_KEYS": list(entries), **settings}
    with override_settings(**values), pytest.raises(ConfigurationError) as caught:
        keys.signing_key()
    assert isinstance(caught.value, ImproperlyConfigured)
    assert isinstance(caught.value, BadKeyError)
    return caught.value


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({}, "takes a 'secret'"),
        ({"secret": LONG, "file": "a.pem"}, "no 'file'"),
        ({"file": "a.pem"}, "takes a 'secret'"),
        ({"secret": LONG, "algorithm": "ES256"}, "takes a 'file'"),
        ({"secret": LONG, "algorithm": "none"}, "'none'"),
        ({"secret": LONG, "algorithm": "hs256"}, "'hs256'"),
        ({"secret": LONG, "algorithm": None}, "None"),
        ({"secret": LONG, "algorithm": ["HS256"]}, "HS256"),
        ({"secret": LONG, "alg": "HS256"}, "'alg'"),
        ({"secret": LONG, 1: 2}, "'1'"),
        ({"secret": ""}, "'secret'"),
        ({"secret": None}, "'secret'"),
        ({"secret": LONG, "kid": ""}, "'kid'"),
        ({"secret": LONG, "kid": 1}, "'kid'"),
        ({"secret": LONG, "kid": "k" * 129}, "kid"),
        ({"secret": LONG, "kid": "a\n"}, "kid"),
        ({"secret": LONG, "kid": "ä"}, "kid"),
        ({"file": 3, "algorithm": "ES256"}, "'file'"),
        ({"file": "a.pem", "algorithm": "ES256", "password": b"open"}, "'password'"),
    ],
)
def test_an_entry_that_makes_no_key_is_refused(entry, said):
    error = refused(entry)
    assert error.cause == "entry"
    assert said in str(error)
    assert "SESSIONS_PLUS_JWT_KEYS[0]" in str(error)
    assert LONG not in str(error)


@pytest.mark.parametrize("name", SYMMETRIC)
def test_a_secret_shorter_than_its_digest_is_refused(name):
    secret = SECRETS[name][:-1]
    error = refused({"secret": secret, "algorithm": name})
    assert error.cause == "weak"
    assert secret not in str(error)
    with override_settings(SESSIONS_PLUS_JWT_KEYS=[{"secret": secret + "x", "algorithm": name}]):
        assert keys.signing_key().can_sign


def test_the_length_of_a_secret_is_counted_in_bytes():
    with override_settings(SESSIONS_PLUS_JWT_KEYS=[{"secret": "äöüßé" + "0" * 22}]):
        assert keys.signing_key().can_sign


def test_a_secret_of_few_different_characters_is_refused():
    assert refused({"secret": "abcd" * 20}).cause == "weak"


@pytest.mark.parametrize("where", ["SECRET_KEY", "SECRET_KEY_FALLBACKS"])
def test_the_secret_key_of_django_is_refused_as_a_secret(where):
    value = LONG if where == "SECRET_KEY" else [LONG]
    assert "SECRET_KEY" in str(refused({"secret": LONG}, **{where: value}))


@pytest.mark.parametrize("name", ASYMMETRIC)
def test_a_public_key_is_refused_as_a_secret(pems, name):
    error = refused({"secret": pems[name].pem.decode(), "algorithm": "HS256"})
    assert error.cause == "entry"
    assert "asymmetric" in str(error)


def test_a_short_rsa_key_is_refused(pems):
    error = refused({"file": pems["short RSA"].private, "algorithm": "RS256"})
    assert error.cause == "weak"
    assert "1024" in str(error)


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("ES256", "RS256"),
        ("EdDSA", "RS256"),
        ("RS256", "ES256"),
        ("EdDSA", "ES256"),
        ("P-384", "ES256"),
        ("secp256k1", "ES256"),
        ("RS256", "EdDSA"),
        ("ES256", "EdDSA"),
        ("Ed448", "EdDSA"),
    ],
)
@pytest.mark.parametrize("half", ["private", "public"])
def test_a_key_for_another_algorithm_is_refused(pems, entry, file, name, half):
    other = {"file": getattr(pems[file], half), "algorithm": name}
    error = refused(entry("HS256"), other)
    assert error.cause == "entry"
    assert str(error) == f"SESSIONS_PLUS_JWT_KEYS[1]: this is no key for {name}."


@pytest.mark.parametrize("name", ASYMMETRIC)
@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"secret",
        b"-----BEGIN PRIVATE KEY-----\nnothing\n-----END PRIVATE KEY-----\n",
        b"-----BEGIN PUBLIC KEY-----\nnothing\n-----END PUBLIC KEY-----\n",
        b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        b"\x30\x82\x01\xff",
    ],
)
def test_a_file_without_a_key_is_refused(tmp_path, name, content):
    (tmp_path / "a.pem").write_bytes(content)
    error = refused({"file": tmp_path / "a.pem", "algorithm": name})
    assert error.cause == "entry"
    assert "PEM" in str(error)


def test_a_file_that_cannot_be_read_is_refused(tmp_path):
    for file in (tmp_path / "nowhere.pem", tmp_path, "a\0b"):
        error = refused({"file": file, "algorithm": "ES256"})
        assert error.cause == "file"
        assert str(file) in str(error)


def test_a_public_key_cannot_be_the_first(pems):
    error = refused({"file": pems["ES256"].public, "algorithm": "ES256"})
    assert "the first key signs" in str(error)


def test_two_keys_of_one_name_are_refused(entry):
    error = refused(entry("HS256", kid="a"), entry("ES256", kid="b"), entry("EdDSA", kid="a"))
    assert str(error) == "SESSIONS_PLUS_JWT_KEYS[2] has the same kid as another key: 'a'."


def test_asymmetric_keys_need_a_library(monkeypatch, entry):
    monkeypatch.setattr(algorithms, "HAS_CRYPTOGRAPHY", False)
    for name in ASYMMETRIC:
        error = refused(entry(name))
        assert error.cause == "library"
        assert "cryptography" in str(error)
    with override_settings(SESSIONS_PLUS_JWT_KEYS=[entry("HS256")]):
        assert keys.signing_key().can_sign


def test_what_could_not_be_used_is_tried_again(tmp_path, pems):
    file = tmp_path / "late.pem"
    with override_settings(SESSIONS_PLUS_JWT_KEYS=[{"file": file, "algorithm": "ES256"}]):
        with pytest.raises(BadKeyError):
            keys.signing_key()
        file.write_bytes(pems["ES256"].private.read_bytes())
        assert keys.signing_key().can_sign


# Names of keys, and the published set


def test_a_thumbprint_is_that_of_the_rfc():
    # RFC 7638 section 3.1, RFC 8037 appendix A.3.
    modulus = (
        "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCi"
        "FV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb"
        "9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls"
        "1jF44-csFCur-kEgU8awapJzKnqDKgw"
    )
    rsa = {"kty": "RSA", "n": modulus, "e": "AQAB", "alg": "RS256", "kid": "2011-04-29"}
    assert algorithms.thumbprint(rsa) == "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"
    okp = {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}
    assert algorithms.thumbprint(okp) == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"


@pytest.mark.parametrize("name", ASYMMETRIC)
def test_without_a_name_a_key_is_called_by_its_thumbprint(entry, pems, name):
    with override_settings(SESSIONS_PLUS_JWT_KEYS=[entry(name)]):
        kid = keys.signing_key().kid
        assert kid == algorithms.thumbprint(keys.jwks()["keys"][0])
    public = {"algorithm": name, "file": pems[name].public}
    with override_settings(SESSIONS_PLUS_JWT_KEYS=[entry("HS256"), public]):
        assert keys.verification_key(kid, name) is not None


def test_the_published_set_is_empty_for_secrets(entry):
    assert keys.jwks() == {"keys": []}
    with override_settings(SESSIONS_PLUS_JWT_KEYS=[entry(name) for name in SYMMETRIC]):
        assert keys.jwks() == {"keys": []}


@pytest.mark.parametrize("name", ASYMMETRIC)
def test_a_token_verifies_with_the_published_set_alone(session, entry, name):
    with override_settings(SESSIONS_PLUS_JWT_KEYS=[entry(name), entry("HS256")]):
        token = sign(session)
        (published,) = json.loads(json.dumps(keys.jwks()))["keys"]
    assert published["kid"] == jwt.get_unverified_header(token)["kid"]
    assert decoded_by_others(token, PyJWK(published), name) == parts(token)[1]


def test_the_published_set_holds_the_public_half_of_every_key_and_nothing_private(entry, pems):
    every = [
        *(entry(name, kid=name) for name in ("ES256", "HS256", "RS256", "EdDSA")),
        {"algorithm": "ES256", "file": pems["other ES256"].public, "kid": "other"},
    ]
    with override_settings(SESSIONS_PLUS_JWT_KEYS=every):
        published = {key["kid"]: key for key in keys.jwks()["keys"]}
    common = {"kid", "use", "alg", "kty"}
    members = {"ES256": {"crv", "x", "y"}, "RS256": {"n", "e"}, "EdDSA": {"crv", "x"}}
    members["other"] = members["ES256"]
    assert published.keys() == members.keys()
    for name, key in published.items():
        assert key.keys() == common | members[name]
        assert key["use"] == "sig"
    assert [published[name]["alg"] for name in members] == ["ES256", "RS256", "EdDSA", "ES256"]


def test_whoever_changes_the_published_set_changes_nobody_elses(entry):
    with override_settings(SESSIONS_PLUS_JWT_KEYS=[entry("ES256")]):
        published = keys.jwks()
        published["keys"][0]["x"] = "gone"
        published["keys"].clear()
        assert keys.jwks()["keys"][0]["x"] != "gone"


def test_a_key_is_found_by_its_name_and_algorithm_together(entry):
    with override_settings(
        SESSIONS_PLUS_JWT_KEYS=[entry("HS256", kid="a"), entry("ES256", kid="b")]
    ):
        assert keys.verification_key("a", "HS256") is keys.signing_key()
        assert keys.verification_key("b", "ES256") is not None
        for kid, name in (
            ("a", "ES256"),
            ("b", "HS256"),
            ("c", "HS256"),
            ("a", "none"),
            ("a", None),
        ):
            assert keys.verification_key(kid, name) is None
        for odd in (None, 1, [], {}, "", b"a", ["a"]):
            assert keys.verification_key(odd, "HS256") is None
