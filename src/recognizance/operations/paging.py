"""Pages of lists: a request's NextToken becomes a place in the database, and the place a NextToken."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from recognizance.core.errors import InvalidPaginationTokenError
from recognizance.core.pagination import decode_token, encode_token

if TYPE_CHECKING:
    from collections.abc import Mapping

    from recognizance.operations.context import Context


def _scope(operation: str, request: Mapping[str, Any]) -> str:
    """Return what all pages of one list have in common: everything that was asked for but the page."""
    asked = {name: value for name, value in request.items() if name not in {"NextToken", "MaxResults"}}
    return orjson.dumps([operation, asked], option=orjson.OPT_SORT_KEYS).decode()


def page_start(context: Context, operation: str, request: Mapping[str, Any]) -> int:
    """Return the position that the request's page starts after, 0 for the first page.

    Raises:
        InvalidPaginationTokenError: The token was not issued for this list.
    """
    token = request.get("NextToken")
    if token is None:
        return 0
    match decode_token(context.services.token_secret, _scope(operation, request), token):
        case [int(position)]:
            return position
        case _:
            raise InvalidPaginationTokenError


def next_token(context: Context, operation: str, request: Mapping[str, Any], position: int) -> str:
    """Return the token of the page that starts after a position."""
    return encode_token(context.services.token_secret, _scope(operation, request), [position])
