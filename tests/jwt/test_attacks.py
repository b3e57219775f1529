"""What somebody could try with an access token (RFC 8725, OWASP ASVS 5.0 chapter 9)."""

import hmac
import json
import string
from hashlib import sha256
from typing import Any

import jwt
import pytest
from django.test import override_settings
from hypothesis import given
from hypothesis import strategies as st

from django_sessions_plus import tokens
from django_sessions_plus.exceptions import TokenError
from django_sessions_plus.jwt import access, compact, keys
from tests.jwt.conftest import ASYMMETRIC, NOW, SECRETS
from tests.jwt.forging import parts, segment, signed, with_hmac

BASE64URL = string.ascii_uppercase + string.ascii_lowercase + string.digits + "-_"


@pytest.fixture
def token(session):
    return access.issue(session, now=NOW).token


@pytest.fixture
def header(token):
    return parts(token)[0]


@pytest.fixture
def claims(token):
    return parts(token)[1]


def refuse(*presented):
    """Fail unless every one of these is refused as no token, and not as one that has expired."""
    assert presented
    for one in presented:
        with pytest.raises(TokenError) as caught:
            access.verify(one, now=NOW)
        assert type(caught.value) is TokenError


def is_accepted(presented):
    try:
        access.verify(presented, now=NOW)
    except TokenError:
        return False
    return True


def test_tokens_forged_with_the_key_itself_are_accepted_so_that_refusals_mean_something(
    token, header, claims
):
    assert is_accepted(token)
    assert is_accepted(signed(header, claims))


# Algorithms


@pytest.mark.parametrize(
    "name", ["none", "None", "NONE", "nOnE", "none ", "", None, 0, [], ["none"], {}]
)
def test_no_signature_is_no_signature_however_it_is_spelled(token, header, claims, name):
    unsigned = f"{segment({**header, 'alg': name})}.{segment(claims)}"
    _, _, signature = token.split(".")
    refuse(unsigned, f"{unsigned}.", f"{unsigned}.{signature}", f"{unsigned}.{segment('none')}")
    refuse(signed({**header, "alg": name}, claims), with_hmac({**header, "alg": name}, claims, b""))
    without = {key: value for key, value in header.items() if key != "alg"}
    refuse(signed(without, claims))


def test_a_token_without_its_signature_is_refused(token):
    message = token.rpartition(".")[0]
    refuse(message, f"{message}.", message.partition(".")[2])


@pytest.mark.parametrize("name", ASYMMETRIC)
def test_a_public_key_is_no_secret(session, entry, pems, name):
    with override_settings(SESSIONS_PLUS_JWT_KEYS=[entry(name, kid="a"), entry("HS256", kid="b")]):
        header, claims, _ = parts(access.issue(session, now=NOW).token)
        jwk = keys.jwks()["keys"][0]
        stolen = [pems[name].pem, pems[name].pem.strip(), json.dumps(jwk).encode()]
        stolen += [value.encode() for value in jwk.values()]
        for secret in stolen:
            for alg in ("HS256", name, "none"):
                for kid in ("a", "b"):
                    refuse(with_hmac({**header, "alg": alg, "kid": kid}, claims, secret))


def test_an_algorithm_is_bound_to_its_key(session, entry):
    every = [entry(name, kid=name) for name in (*SECRETS, *ASYMMETRIC)]
    for own in every:
        others = [key for key in every if key is not own]
        with override_settings(SESSIONS_PLUS_JWT_KEYS=[own, *others]):
            header, claims, _ = parts(access.issue(session, now=NOW).token)
            assert is_accepted(signed(header, claims))
            for other in others:
                refuse(
                    signed({**header, "alg": other["algorithm"]}, claims),
                    signed({**header, "kid": other["kid"]}, claims),
                    signed({**header, "alg": other["algorithm"], "kid": other["kid"]}, claims),
                )


def test_one_secret_under_another_algorithm_is_another_key(session):
    secret = SECRETS["HS512"]
    own = {"secret": secret, "kid": "a", "algorithm": "HS256"}
    with override_settings(SESSIONS_PLUS_JWT_KEYS=[own]):
        header, claims, _ = parts(access.issue(session, now=NOW).token)
        for name in ("HS384", "HS512"):
            forged = jwt.encode(claims, secret, name, headers={**header, "alg": name})
            refuse(forged)
        assert is_accepted(jwt.encode(claims, secret, "HS256", headers=header))


# Keys


def test_a_token_of_another_site_is_refused(session, token):
    with override_settings(SECRET_KEY="of another site"):
        foreign = access.issue(session, now=NOW).token
        refuse(token)
    refuse(foreign)
    header, claims, _ = parts(foreign)
    ours = keys.signing_key().kid
    with override_settings(SECRET_KEY="of another site"):
        disguised = signed({**header, "kid": ours}, claims)
    refuse(disguised)


@pytest.mark.parametrize(
    "kid",
    [
        "",
        "other",
        "../../../../dev/null",
        "/dev/null",
        "' OR 1=1 --",
        "a\0b",
        "é",
        "x" * 5000,
        "\ud800",
    ],
)
def test_a_name_selects_among_the_configured_keys_and_does_nothing_else(header, claims, kid):
    refuse(
        signed({**header, "kid": kid}, claims),
        with_hmac({**header, "kid": kid}, claims, b""),
        with_hmac({**header, "kid": kid}, claims, b"\0" * 32),
    )


@pytest.mark.parametrize("kid", [None, 1, True, [], ["ours"], {}, {"ours": 1}])
def test_a_name_is_a_text(header, claims, kid):
    refuse(signed({**header, "kid": kid}, claims))


def test_a_key_has_to_be_named(header, claims):
    del header["kid"]
    refuse(signed(header, claims))


@pytest.mark.parametrize("name", ASYMMETRIC)
def test_a_key_that_the_token_brings_along_is_not_looked_at(session, entry, pems, name):
    attacker = pems[f"other {name}"]
    with override_settings(SESSIONS_PLUS_JWT_KEYS=[entry(name, kid="ours")]):
        header, claims, _ = parts(access.issue(session, now=NOW).token)
        with override_settings(
            SESSIONS_PLUS_JWT_KEYS=[{"algorithm": name, "file": attacker.private, "kid": "ours"}]
        ):
            (jwk,) = keys.jwks()["keys"]
            brought = [
                {"jwk": jwk},
                {"jku": "https://attacker.example/jwks.json"},
                {"x5u": "https://attacker.example/cert.pem"},
                {"x5c": [segment(attacker.pem)]},
                {"jwk": jwk, "kid": jwk["kid"]},
            ]
            forged = [signed({**header, **more}, claims) for more in brought]
            forged.append(signed(header, claims))
        refuse(*forged)


@pytest.mark.parametrize(
    "more",
    [
        {"jwk": {"kty": "oct", "k": ""}},
        {"jku": "https://example.com/"},
        {"x5u": "https://example.com/"},
        {"x5c": []},
        {"x5t": "a"},
        {"crit": []},
        {"crit": ["exp"], "exp": 1},
        {"crit": ["b64"], "b64": True},
        {"crit": ["b64"], "b64": False},
        {"b64": False},
        {"zip": "DEF"},
        {"cty": "JWT"},
        {"enc": "A128GCM"},
        {"": ""},
    ],
)
def test_a_header_that_says_more_is_refused_even_with_a_good_signature(header, claims, more):
    refuse(signed({**header, **more}, claims))


def test_a_payload_outside_of_its_segment_is_refused(header, claims):
    head = segment({**header, "b64": False, "crit": ["b64"]})
    payload = json.dumps(claims)
    signature = segment(keys.signing_key().sign(f"{head}.{payload}".encode()))
    refuse(f"{head}.{payload}.{signature}", f"{head}..{signature}")


# What kind of token, whose, for whom


@pytest.mark.parametrize(
    "typ",
    [
        "JWT",
        "jwt",
        "",
        "rt+jwt",
        "id+jwt",
        "at+jwt ",
        "at",
        "application/",
        "text/at+jwt",
        None,
        1,
        ["at+jwt"],
        "application/application/at+jwt",
        "at+jwt; charset=utf-8",
    ],
)
def test_a_token_of_another_type_is_refused(header, claims, typ):
    refuse(signed({**header, "typ": typ}, claims))


def test_a_token_without_a_type_is_refused(header, claims):
    del header["typ"]
    refuse(signed(header, claims))


@pytest.mark.parametrize("typ", ["at+jwt", "AT+JWT", "application/at+jwt", "Application/At+Jwt"])
def test_the_type_may_be_written_as_the_rfc_allows(header, claims, typ):
    assert is_accepted(signed({**header, "typ": typ}, claims))


def test_the_order_and_spacing_of_a_header_do_not_matter(header, claims):
    for order in (("typ", "kid", "alg"), ("kid", "alg", "typ")):
        text = json.dumps({name: header[name] for name in order}, indent=1)
        assert is_accepted(signed(text, claims))


REQUIRED = ["type", "sub", "sid", "iss", "aud", "iat", "nbf", "exp", "jti", "cred"]


@pytest.mark.parametrize("name", REQUIRED)
def test_every_claim_of_the_package_is_required(header, claims, name):
    del claims[name]
    refuse(signed(header, claims))


NO_TEXTS: list[Any] = [None, True, False, "", [], {}, 1, 1.5, -1]
NO_MOMENTS: list[Any] = [None, True, False, "", [], {}, "1", 1.5, -1, 2**63, 10**400]
OF_ANOTHER_TYPE = [
    *((name, NO_TEXTS) for name in ("type", "sub", "sid", "iss", "aud", "jti", "cred")),
    *((name, NO_MOMENTS) for name in ("exp", "nbf", "iat", "auth_time")),
]


@pytest.mark.parametrize(("name", "values"), OF_ANOTHER_TYPE)
def test_no_claim_of_the_package_may_be_of_another_type(header, claims, name, values):
    refuse(*(signed(header, {**claims, name: value}) for value in values))


@pytest.mark.parametrize("value", [NOW.timestamp() + 60.5, f"{int(NOW.timestamp()) + 60}"])
@pytest.mark.parametrize("name", ["exp", "nbf", "iat", "auth_time"])
def test_a_moment_is_a_whole_number(header, claims, name, value):
    refuse(signed(header, {**claims, name: value}))


def test_a_number_too_large_for_a_date_is_refused(header, claims):
    refuse(signed(header, {**claims, "exp": 253402300800}))
    assert is_accepted(signed(header, {**claims, "exp": 253402300799}))
    found = access.verify(signed(header, {**claims, "exp": 253402300799}), now=NOW)
    assert found.expires_at.year == 9999


@pytest.mark.parametrize("value", ["refresh", "Access", "access ", ["access"], "session"])
def test_only_an_access_token_is_one(header, claims, value):
    refuse(signed(header, {**claims, "type": value}))


@pytest.mark.parametrize(
    "value",
    [
        "https://attacker.example",
        "django-sessions-plus ",
        "Django-Sessions-Plus",
        ["django-sessions-plus"],
    ],
)
def test_another_issuer_is_refused(header, claims, value):
    refuse(signed(header, {**claims, "iss": value}))


@pytest.mark.parametrize(
    "value",
    [
        "other",
        ["other"],
        [],
        [["django-sessions-plus"]],
        {"django-sessions-plus": 1},
        "django-sessions-plus-2",
        "a django-sessions-plus b",
    ],
)
def test_another_audience_is_refused(header, claims, value):
    refuse(signed(header, {**claims, "aud": value}))


@pytest.mark.parametrize(
    ("own", "named", "verdict"),
    [
        ("a", ["b", "a"], True),
        (["a", "b"], "b", True),
        (["a", "b"], ["c", "b"], True),
        (("a", "b"), ["c"], False),
        (["ab"], "a", False),
        ("ab", "b", False),
    ],
)
def test_one_audience_in_common_is_enough(header, claims, own, named, verdict):
    with override_settings(SESSIONS_PLUS_JWT_AUDIENCE=own):
        assert is_accepted(signed(header, {**claims, "aud": named})) is verdict


@pytest.mark.parametrize("form", ["{%s}", "urn:uuid:%s", " %s", "%s "])
def test_a_session_is_named_in_one_way_only(header, claims, form):
    refuse(signed(header, {**claims, "sid": form % claims["sid"]}))
    refuse(signed(header, {**claims, "sid": claims["sid"].upper()}))
    refuse(signed(header, {**claims, "sid": claims["sid"].replace("-", "")}))
    refuse(signed(header, {**claims, "sid": "not a uuid"}))


def test_what_is_wrong_comes_before_what_has_expired(header, claims, session):
    """Only of a token that is good in every other way does anybody learn that it has expired."""
    long_ago = {**claims, "iat": 1, "nbf": 1, "exp": 2}
    with pytest.raises(TokenError) as caught:
        access.verify(signed(header, long_ago), now=NOW)
    assert caught.value.code == "token_expired"
    refuse(
        signed(header, long_ago) + "A",
        signed(header, long_ago).rpartition(".")[0]
        + "."
        + signed(header, claims).rpartition(".")[2],
        signed(header, {**long_ago, "iss": "another"}),
        signed(header, {**long_ago, "aud": "another"}),
        signed(header, {**long_ago, "type": "refresh"}),
        signed(header, {**long_ago, "sid": "another"}),
        signed(header, {**long_ago, "nbf": 2**33}),
        signed({**header, "typ": "JWT"}, long_ago),
        with_hmac(header, long_ago, b"another secret"),
    )


# The text of a token


def test_no_bit_of_a_token_can_be_changed(session, algorithm):
    token = access.issue(session, now=NOW).token
    assert is_accepted(token)
    for position in range(len(token)):
        # Every bit of every character where that takes no time, else one of each.
        for bit in range(8) if algorithm in SECRETS else [position % 8]:
            changed = chr(ord(token[position]) ^ 1 << bit)
            refuse(token[:position] + changed + token[position + 1 :])


def test_no_bit_of_the_content_can_be_changed(token):
    segments = token.split(".")
    for number, text in enumerate(segments):
        data = compact.decode(text)
        for position in range(len(data)):
            for bit in range(8):
                changed = bytearray(data)
                changed[position] ^= 1 << bit
                forged = [*segments]
                forged[number] = segment(bytes(changed))
                refuse(".".join(forged))


def test_a_token_has_one_text(session, algorithm):
    """The last character of a segment has bits that mean nothing; they are zero, or it is another token."""
    token = access.issue(session, now=NOW).token
    segments = token.split(".")
    for number, text in enumerate(segments):
        for last in BASE64URL.replace(text[-1], ""):
            changed = [*segments]
            changed[number] = text[:-1] + last
            refuse(".".join(changed))
        for more in ("=", "==", "A", "\n", " ", "%3D"):
            changed = [*segments]
            changed[number] = text + more
            refuse(".".join(changed))


def test_the_other_alphabet_is_refused(header, claims):
    # Many tokens, for not each has one of these characters.
    found = 0
    for number in range(50):
        token = signed(header, {**claims, "x": "?>~" * 3, "n": number})
        assert is_accepted(token)
        other = token.replace("-", "+").replace("_", "/")
        if other != token:
            found += 1
            refuse(other)
    assert found > 10


@pytest.mark.parametrize(
    "spoil",
    [
        lambda t: "",
        lambda t: ".",
        lambda t: "..",
        lambda t: "...",
        lambda t: t + ".",
        lambda t: "." + t,
        lambda t: t + "." + t,
        lambda t: t.replace(".", "..", 1),
        lambda t: t.replace(".", "", 1),
        lambda t: t.replace(".", ","),
        lambda t: t + " ",
        lambda t: " " + t,
        lambda t: t + "\n",
        lambda t: "Bearer " + t,
        lambda t: t[::-1],
        lambda t: t.upper(),
        lambda t: t + "\0",
        lambda t: t.replace("e", "\u0435"),
        lambda t: t.translate({ord(c): ord(c) + 0xFEE0 for c in string.ascii_letters}),
        lambda t: t + "\u200b",
        lambda t: t + "\ud800",
        lambda t: "\N{LATIN SMALL LETTER DOTLESS I}" + t[1:],
        lambda t: t.encode(),
        lambda t: bytearray(t.encode()),
        lambda t: t.split("."),
        lambda t: None,
        lambda t: 1,
        lambda t: tokens.make_token(),
        lambda t: t.partition(".")[2],
    ],
)
def test_what_is_no_token_is_refused(token, spoil):
    refuse(spoil(token))


def test_a_token_that_is_too_long_is_refused_before_anything_is_read(
    session, header, claims, monkeypatch
):
    long = signed(header, {**claims, "padding": "x" * 5000})
    assert compact.LONGEST_TOKEN - 2000 < len(long) < compact.LONGEST_TOKEN
    assert is_accepted(long)
    longer = [
        signed(header, {**claims, "padding": "x" * 6000}),
        signed(header, {**claims, "padding": "x" * 100_000}),
        segment({**header, "kid": "x" * 100_000}) + ".e30.AA",
        "a" * 100_000,
        "." * 100_000,
        "a." * 50_000,
        "é" * 100_000,
    ]
    read = []
    monkeypatch.setattr(compact, "decode", read.append)
    monkeypatch.setattr(keys, "key_by_header", read.append)
    refuse(*longer)
    assert read == []


def test_a_token_of_the_greatest_length_is_read_and_one_more_is_not(header, claims):
    def padded(size):
        return signed(header, {**claims, "padding": "x" * size})

    size = next(size for size in range(4000, 7000) if len(padded(size)) > compact.LONGEST_TOKEN)
    assert is_accepted(padded(size - 1))
    refuse(padded(size))


@pytest.mark.parametrize(
    "text",
    [
        "[",
        "null",
        '"at+jwt"',
        "[]",
        "{}",
        "{" * 1000,
        "[" * 5000,
        '{"alg":"HS256"}',
        '{"a":' * 900 + "1" + "}" * 900,
        "9" * 5000,
        b"\xff\xfe",
        b"\x00",
    ],
)
def test_a_header_or_payload_that_is_no_object_is_refused(header, claims, text):
    refuse(signed(text, claims), signed(header, text))


def test_a_member_named_twice_is_refused(header, claims):
    for name in ("alg", "kid", "typ"):
        doubled = json.dumps(header)[:-1] + f', "{name}": {json.dumps(header[name])}}}'
        refuse(signed(doubled, claims))
    for name in ("sub", "exp", "email"):
        doubled = json.dumps(claims)[:-1] + f', "{name}": {json.dumps(claims[name])}}}'
        refuse(signed(header, doubled))


def test_letters_of_all_scripts_come_through(session):
    told = {"name": "Ἀριάδνη 林 👩‍🚀 \u0000 \\ \" 'ı"}
    with override_settings(SESSIONS_PLUS_JWT_CLAIMS=lambda user, session: told):
        token = access.issue(session, now=NOW).token
        assert token.isascii()
        assert access.verify(token, now=NOW).all["name"] == told["name"]


@given(st.text(max_size=60))
def test_no_text_is_a_token(text):
    refuse(text, f"{text}.{text}.{text}", f"{keys.signing_key().header}.{text}.{text}")


@given(data=st.data())
def test_no_token_grows_out_of_two_others(session, data):
    one, other = (access.issue(session, now=NOW).token for _ in range(2))
    cut = data.draw(st.integers(1, len(one) - 1))
    mixed = one[:cut] + other[cut:]
    assert mixed in (one, other) or not is_accepted(mixed)


@given(data=st.data())
def test_whatever_is_accepted_would_be_accepted_by_others_too(header, claims, data):
    """PyJWT, told everything there is to check, refuses nothing that gets through here."""
    odd = (
        st.none()
        | st.booleans()
        | st.integers()
        | st.text(max_size=5)
        | st.lists(st.text(max_size=3))
    )
    members = st.sampled_from([*header, "jku", "crit"])
    header = {**header, **data.draw(st.dictionaries(members, odd, max_size=1))}
    names = st.sampled_from(sorted(claims))
    claims = {**claims, **data.draw(st.dictionaries(names, odd, max_size=1))}
    forged = signed(header, claims)
    if is_accepted(forged):
        (secret,) = keys.derive("access-token/HS256")
        jwt.decode(
            forged,
            secret,
            algorithms=["HS256"],
            audience="django-sessions-plus",
            issuer="django-sessions-plus",
            options={"verify_exp": False, "verify_nbf": False, "verify_iat": False},
        )


def test_a_session_token_is_no_access_token_and_the_reverse(token):
    assert not tokens.is_well_formed(token)
    refuse(tokens.make_token())


def test_nothing_a_database_holds_makes_a_token(session, header, claims):
    """Ids and digests are no keys."""
    for known in (session.token_digest, str(session.pk), claims["jti"], header["kid"]):
        refuse(with_hmac(header, claims, known.encode()))
        refuse(with_hmac(header, claims, sha256(known.encode()).digest()))
    secret = keys.derive("access-token/HS256")[0]
    message = f"{segment(header)}.{segment(claims)}"
    mac = hmac.digest(secret, message.encode(), sha256)
    assert is_accepted(f"{message}.{segment(mac)}")
