"""Access keys: made once, shown once, kept encrypted."""

from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from recognizance.governance.principal import Principal
from recognizance.storage.database import Database


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key as it is shown once, to whoever asked for it."""

    access_key_id: str
    role: str
    secret_access_key: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class KeyInfo:
    """A key as it can be listed: everything but its secret."""

    access_key_id: str
    role: str
    enabled: bool
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Credential:
    """A key as signatures are verified with it.

    Attributes:
        principal: Whoever signs with it.
        enabled: Whether it may still sign.
        secret: The secret access key.
        session_token_digest: The SHA-256 of the session token that comes with a temporary key; None for other keys.
    """

    principal: Principal
    enabled: bool
    secret: str = field(repr=False)
    session_token_digest: bytes | None = field(default=None, repr=False)


class KeyStore:
    """The access keys of a database, their secrets encrypted by a key file in the data folder.

    Args:
        database: Where the keys are kept.
        data_folder: Where ``secret.key`` lies; it is made when there are no keys yet.
        account_id: The twelve-digit account of the principals.

    Raises:
        SetupError: The key file is lost, is not the one that the keys were encrypted with, or may be read by others.
    """

    def __init__(self, database: Database, data_folder: Path, *, account_id: str) -> None:
        raise NotImplementedError

    def create(self, role: str) -> NewKey:
        """Make a key. Its secret is in the answer and nowhere else in the clear.

        Raises:
            SetupError: There is no such role.
        """
        raise NotImplementedError

    def list(self) -> list[KeyInfo]:
        """List the keys, oldest first, without their secrets."""
        raise NotImplementedError

    def disable(self, access_key_id: str) -> None:
        """Disable a key: at once in this process, within a second in others.

        Raises:
            SetupError: There is no such key.
        """
        raise NotImplementedError

    def find(self, access_key_id: str) -> Credential | None:
        """Return a key to verify a signature with, disabled or not; None when there is none of that id."""
        raise NotImplementedError

    def derive(self, purpose: str) -> bytes:
        """Return 32 bytes for one purpose, such as signing pagination tokens.

        They come from the key file (HKDF, RFC 5869), so that all processes that share it agree on them.
        """
        raise NotImplementedError
