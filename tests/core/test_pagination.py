import base64

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from recognizance.core.errors import InvalidPaginationTokenError
from recognizance.core.pagination import MAX_TOKEN_LENGTH, decode_token, encode_token

SECRET = b"0123456789abcdef0123456789abcdef"
SCOPE = "ListFaces collection=entrance"
POSITIONS = st.lists(st.text(max_size=12) | st.integers(-(2**63), 2**63 - 1), max_size=3)


@given(scope=st.text(), position=POSITIONS)
def test_a_token_gives_its_position_back(scope: str, position: list[str | int]) -> None:
    token = encode_token(SECRET, scope, position)
    assert len(token) <= MAX_TOKEN_LENGTH
    assert decode_token(SECRET, scope, token) == position


def test_the_longest_user_id_fits() -> None:
    token = encode_token(SECRET, SCOPE, ["x" * 128, 2**63 - 1])
    assert decode_token(SECRET, SCOPE, token) == ["x" * 128, 2**63 - 1]


def test_a_position_that_does_not_fit_is_refused_when_it_is_made() -> None:
    with pytest.raises(ValueError, match="does not fit"):
        encode_token(SECRET, SCOPE, ["x" * 255])


@given(scope=st.text(), other=st.text(), position=POSITIONS)
def test_a_token_of_another_request_is_refused(scope: str, other: str, position: list[str | int]) -> None:
    assume(scope != other)
    with pytest.raises(InvalidPaginationTokenError):
        decode_token(SECRET, other, encode_token(SECRET, scope, position))


def test_a_token_of_another_server_is_refused() -> None:
    with pytest.raises(InvalidPaginationTokenError):
        decode_token(b"another server's", SCOPE, encode_token(SECRET, SCOPE, [1]))


@given(position=POSITIONS, at=st.integers(0), character=st.characters())
def test_a_token_with_one_character_changed_is_refused(position: list[str | int], at: int, character: str) -> None:
    token = encode_token(SECRET, SCOPE, position)
    at %= len(token)
    changed = token[:at] + character + token[at + 1 :]
    assume(changed != token)
    with pytest.raises(InvalidPaginationTokenError):
        decode_token(SECRET, SCOPE, changed)


@given(token=st.text() | st.binary(max_size=64).map(lambda data: base64.b64encode(data).decode()))
def test_nonsense_is_refused_with_the_literal_message(token: str) -> None:
    with pytest.raises(InvalidPaginationTokenError, match=r"^Invalid Pagination Token$"):
        decode_token(SECRET, SCOPE, token)
