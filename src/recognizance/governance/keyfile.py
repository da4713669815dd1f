"""The key file: 32 random bytes in the data folder, without which a copy of the database gives no secret away."""

import base64
import binascii
import hmac
import os
import secrets
import stat
from pathlib import Path

from recognizance.core.errors import SetupError

NAME = "secret.key"
_LENGTH = 32


def read(path: Path) -> bytes | None:
    """Return the key, or None when there is no file.

    Raises:
        SetupError: Others may read the file, or it is damaged.
    """
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            data = file.read(1024)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise SetupError(f"The key file {path} cannot be read: {error.strerror}. Give it to this user.") from error
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise SetupError(f"The key file {path} may be read by other users of this machine; run: chmod 600 {path}")
    key = _parse(data)
    if key is None:
        raise SetupError(f"The key file {path} is damaged; restore it from a backup.")
    return key


def make(path: Path) -> bytes:
    """Make the file with a new key, unless another process is faster; return the key that is there then.

    The file appears under its name only when it is complete and on the disk, so that no crash leaves half a key.

    Raises:
        SetupError: The file cannot be written.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        return _publish(path, text(secrets.token_bytes(_LENGTH)))
    except OSError as error:
        raise SetupError(
            f"The key file {path} cannot be written: {error.strerror}. Choose a data folder on a local disk that this "
            "user may write to."
        ) from error


def text(key: bytes) -> bytes:
    """Return what a file with this key holds."""
    return base64.b64encode(key) + b"\n"


def restore(path: Path, data: bytes) -> None:
    """Put the file back from a backup, unless it is there already.

    Args:
        path: Where it belongs.
        data: What it held.

    Raises:
        SetupError: What it held was no key, another key is there, or the file cannot be written.
    """
    key = _parse(data)
    if key is None:
        raise SetupError("The key file of the backup is damaged.")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = read(path) or _publish(path, text(key))
    except OSError as error:
        raise SetupError(f"The key file {path} cannot be written: {error.strerror}.") from error
    if not hmac.compare_digest(found, key):
        raise SetupError(f"{path} is another key file than that of the backup; move it away, or use another folder.")


def _publish(path: Path, data: bytes) -> bytes:
    """Write the file under its name at once, unless another process is faster; return the key that is there then."""
    draft = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    _write(draft, data)
    try:
        os.link(draft, path)  # unlike a rename, this does not replace a file that is there
    except FileExistsError:
        pass
    finally:
        draft.unlink()
    _sync(path.parent)
    key = read(path)
    if key is None:
        raise SetupError(f"The key file {path} vanished while it was made; try again.")
    return key


def _parse(data: bytes) -> bytes | None:
    try:
        key = base64.b64decode(data.strip(), validate=True)
    except binascii.Error:
        return None
    return key if len(key) == _LENGTH else None


def _write(path: Path, data: bytes) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(handle)


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
