"""Key derivation: our HMAC is the standard library's."""

import hashlib
import hmac

from hypothesis import given
from hypothesis import strategies as st

from fedgap.crypto import expand, expander, extract, statement


@given(st.binary(max_size=200), st.binary(max_size=200))
def test_extract_is_hmac_for_keys_of_any_length(secret: bytes, salt: bytes) -> None:
    assert hmac.digest(salt, secret, hashlib.sha256) == extract(secret, salt=salt)


@given(st.binary(min_size=32, max_size=32), st.binary(max_size=40))
def test_a_short_key_is_the_hmac_of_its_statement(key: bytes, context: bytes) -> None:
    said = statement("purpose", context) + b"\1"
    assert hmac.digest(key, said, hashlib.sha256)[:16] == expand(key, "purpose", context, size=16)


@given(st.binary(max_size=100), st.text(max_size=20))
def test_a_key_is_derived_alike_by_what_is_built_for_one_label(key: bytes, label: str) -> None:
    assert expand(key, label) == expander(label)(key)
