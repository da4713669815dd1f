"""Access keys: made once, shown once, kept encrypted."""

import base64
import hmac
import secrets
import threading
import time
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from recognizance.core import clock
from recognizance.core.errors import SetupError
from recognizance.governance import keyfile
from recognizance.governance.principal import Principal
from recognizance.governance.roles import ROLES
from recognizance.storage.database import Database
from recognizance.storage.locks import KEY_FILE, hold
from recognizance.storage.repositories import access_keys, meta

_NONCE = 12  # bytes; NIST SP 800-38D, section 5.2.1.1
_FINGERPRINT = "key file fingerprint"
_START_AGAIN = "run `recognizance keys reset`, which deletes the access keys, and make new ones."
_REMEMBERED_SECONDS = 0.5
"""How long a key may be used without a look into the database, where another process may have disabled it."""


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
        data_folder: Where ``secret.key`` lies; it is made when the database has not been used with one yet.
        account_id: The twelve-digit account of the principals.

    Raises:
        SetupError: The key file is lost, is not the one that the keys were encrypted with, or may be read by others.
    """

    def __init__(self, database: Database, data_folder: Path, *, account_id: str) -> None:
        self._database = database
        self._account_id = account_id
        self._key = _open_key(database, data_folder / keyfile.NAME)
        self._cipher = AESGCM(self.derive("access keys"))
        self._found: dict[str, tuple[float, Credential]] = {}
        self._generation = 0
        self._lock = threading.Lock()

    def create(self, role: str) -> NewKey:
        """Make a key. Its secret is in the answer and nowhere else in the clear.

        Raises:
            SetupError: There is no such role.
        """
        if role not in ROLES:
            raise SetupError(f"There is no role {role!r}; choose one of: {', '.join(ROLES)}.")
        made = NewKey(_new_id(), role, base64.b64encode(secrets.token_bytes(30)).decode())
        row = access_keys.KeyRow(made.access_key_id, role, self._encrypt(made), enabled=True, created_at=clock.now())
        with self._database.begin() as connection:
            access_keys.insert(connection, row)
        return made

    def list(self) -> list[KeyInfo]:
        """List the keys, oldest first, without their secrets."""
        with self._database.read() as connection:
            rows = access_keys.all_keys(connection)
        return [KeyInfo(row.access_key_id, row.role, row.enabled, row.created_at) for row in rows]

    def disable(self, access_key_id: str) -> None:
        """Disable a key: at once in this process, within a second in others.

        Raises:
            SetupError: There is no such key.
        """
        with self._database.begin() as connection:
            if not access_keys.disable(connection, access_key_id):
                raise SetupError(f"There is no access key {access_key_id!r}.")
        with self._lock:
            self._generation += 1
            self._found.clear()

    def find(self, access_key_id: str) -> Credential | None:
        """Return a key to verify a signature with, disabled or not; None when there is none of that id.

        Raises:
            SetupError: Its secret cannot be decrypted.
        """
        with self._lock:
            until, credential = self._found.get(access_key_id, (0.0, None))
            generation = self._generation
        if credential and time.monotonic() < until:
            return credential
        until = time.monotonic() + _REMEMBERED_SECONDS
        with self._database.read() as connection:
            row = access_keys.get(connection, access_key_id)
        if row is None:
            return None
        credential = Credential(
            Principal(row.access_key_id, row.role, self._account_id), row.enabled, self._decrypt(row)
        )
        with self._lock:
            if generation == self._generation:  # else a key was disabled since the row was read
                self._found[access_key_id] = (until, credential)
        return credential

    def derive(self, purpose: str) -> bytes:
        """Return 32 bytes for one purpose, such as signing pagination tokens.

        They come from the key file (HKDF, RFC 5869), so that all processes that share it agree on them.
        """
        return _derive(self._key, purpose)

    def _encrypt(self, made: NewKey) -> bytes:
        nonce = secrets.token_bytes(_NONCE)
        return nonce + self._cipher.encrypt(nonce, made.secret_access_key.encode(), made.access_key_id.encode())

    def _decrypt(self, row: access_keys.KeyRow) -> str:
        try:
            plain = self._cipher.decrypt(row.secret[:_NONCE], row.secret[_NONCE:], row.access_key_id.encode())
        except InvalidTag as error:
            raise SetupError(
                f"The access key {row.access_key_id} was changed in the database; disable it and make another one."
            ) from error
        return plain.decode()


def reset(database: Database) -> None:
    """Delete every access key, so that the database can be used with another key file.

    For operators who have lost theirs; no secret comes back. Servers that are running have to be started again.
    """
    with database.begin() as connection:
        access_keys.delete_all(connection)
        meta.delete(connection, _FINGERPRINT)


def _derive(key: bytes, purpose: str) -> bytes:
    return HKDF(SHA256(), length=32, salt=None, info=b"recognizance " + purpose.encode()).derive(key)


def _open_key(database: Database, path: Path) -> bytes:
    """Return the key of the file, making the file when the database has not known one yet."""
    with database.begin() as connection:
        hold(connection, KEY_FILE)  # processes that start together take turns
        key = keyfile.read(path)
        expected = meta.get(connection, _FINGERPRINT)
        if key is None:
            if expected is not None:
                raise SetupError(
                    f"The key file {path} is lost; the access keys in {database} cannot be used without it. Restore "
                    "it from a backup, or copy it from another machine that uses this database. If there is none: "
                    f"{_START_AGAIN}"
                )
            key = keyfile.make(path)
        fingerprint = _derive(key, "fingerprint")
        if expected is None:
            meta.put(connection, _FINGERPRINT, fingerprint)
        elif not hmac.compare_digest(expected, fingerprint):
            raise SetupError(
                f"The key file {path} is not the one that the access keys in {database} were encrypted with. Restore "
                f"the right one from a backup. If there is none: {_START_AGAIN}"
            )
    return key


def _new_id() -> str:
    return "AKIA" + base64.b32encode(secrets.token_bytes(10)).decode()
