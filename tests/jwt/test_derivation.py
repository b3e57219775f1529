"""HKDF as RFC 5869 has it, and keys that are of use for one purpose only."""

import pytest
from django.test import override_settings
from hypothesis import given
from hypothesis import strategies as st

from django_sessions_plus.exceptions import ConfigurationError
from django_sessions_plus.jwt import derivation, keys
from django_sessions_plus.jwt.derivation import derive, hkdf

# RFC 5869 appendix A.1 to A.3: secret, salt, info, length, what comes out.
VECTORS = [
    (
        "0b" * 22,
        "000102030405060708090a0b0c",
        "f0f1f2f3f4f5f6f7f8f9",
        42,
        "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865",
    ),
    (
        bytes(range(0x50)).hex(),
        bytes(range(0x60, 0xB0)).hex(),
        bytes(range(0xB0, 0x100)).hex(),
        82,
        (
            "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c59045a99cac78272"
            "71cb41c65e590e09da3275600c2f09b8367793a9aca3db71cc30c58179ec3e87c14c01d5c1f3434f1d87"
        ),
    ),
    (
        "0b" * 22,
        "",
        "",
        42,
        "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8",
    ),
]


@pytest.mark.parametrize(("secret", "salt", "info", "length", "derived"), VECTORS)
def test_hkdf_gives_what_the_rfc_gives(secret, salt, info, length, derived):
    found = hkdf(
        bytes.fromhex(secret), salt=bytes.fromhex(salt), info=bytes.fromhex(info), length=length
    )
    assert found.hex() == derived


def test_hkdf_gives_what_cryptography_gives():
    hashes = pytest.importorskip("cryptography.hazmat.primitives.hashes")
    kdf = pytest.importorskip("cryptography.hazmat.primitives.kdf.hkdf")
    for length in (1, 31, 32, 33, 64, 8160):
        other = kdf.HKDF(algorithm=hashes.SHA256(), length=length, salt=b"s", info=b"i")
        assert hkdf(b"secret", salt=b"s", info=b"i", length=length) == other.derive(b"secret")


def test_derived_keys_stay_the_same():
    # Another way to derive them would have everybody sign in again.
    with override_settings(SECRET_KEY="a secret", SECRET_KEY_FALLBACKS=[]):
        (key,) = derive("refresh-token-mac")
    assert key.hex() == "a3b9079cb262b987b584e1805ccc0da8ae8a13abd175cba6e0946e0a53d88d46"


def test_the_first_key_is_of_the_secret_key_and_the_others_of_its_fallbacks():
    with override_settings(SECRET_KEY="new", SECRET_KEY_FALLBACKS=["old", "older"]):
        new, old, older = derive("one")
    with override_settings(SECRET_KEY="old", SECRET_KEY_FALLBACKS=[]):
        assert derive("one") == [old]
    with override_settings(SECRET_KEY="older", SECRET_KEY_FALLBACKS=[]):
        assert derive("one") == [older]
    assert len({new, old, older}) == 3


def test_a_secret_may_be_bytes():
    with override_settings(SECRET_KEY=b"new", SECRET_KEY_FALLBACKS=[]):
        as_bytes = derive("one")
    with override_settings(SECRET_KEY="new", SECRET_KEY_FALLBACKS=[]):
        assert derive("one") == as_bytes


@given(
    st.tuples(st.text(max_size=6), st.integers(16, 64)),
    st.tuples(st.text(max_size=6), st.integers(16, 64)),
)
def test_keys_of_different_purposes_or_lengths_have_nothing_in_common(one, other):
    (first,), (second,) = (derive(purpose, length=length) for purpose, length in (one, other))
    assert (len(first), len(second)) == (one[1], other[1])
    assert (first[:16] == second[:16]) is (one == other)


def test_no_key_is_the_secret_itself():
    with override_settings(SECRET_KEY="s" * 32):
        assert b"s" * 4 not in b"".join(derive("one"))


@pytest.mark.parametrize("fallbacks", [[""], ["old", b""]])
def test_a_secret_that_is_empty_is_refused(fallbacks):
    with (
        override_settings(SECRET_KEY_FALLBACKS=fallbacks),
        pytest.raises(ConfigurationError, match="empty secret"),
    ):
        derive("one")


def test_a_key_is_derived_once_until_a_setting_changes(monkeypatch):
    calls = []
    monkeypatch.setattr(
        derivation, "hkdf", lambda *args, **kw: calls.append(kw) or hkdf(*args, **kw)
    )
    with override_settings(SECRET_KEY="never used before", SECRET_KEY_FALLBACKS=[]):
        assert derive("one") == derive("one")
        assert len(calls) == 1
        with override_settings(PAGE_SIZE=3):
            derive("one")
        assert len(calls) == 2


def test_what_is_kept_cannot_be_read_from_a_repr():
    with override_settings(SECRET_KEY="tell nobody", SECRET_KEY_FALLBACKS=[]):
        (key,) = derive("one")
        shown = (
            repr(vars(derivation))
            + repr(derivation._derived)
            + repr(derivation._derived.cache_info())
        )
    assert "tell nobody" not in shown
    assert repr(key) not in shown


def test_derive_is_there_where_keys_are():
    assert keys.derive is derive
