"""A whole database as Parquet files and a manifest, read from and written to either kind of database."""

from recognizance.storage.backup.check import check
from recognizance.storage.backup.load import refuse_used, restore
from recognizance.storage.backup.manifest import Manifest
from recognizance.storage.backup.package import KEY_FILE, Package, open_package
from recognizance.storage.backup.place import open_existing
from recognizance.storage.backup.progress import Progress, silent
from recognizance.storage.backup.write import back_up

__all__ = [
    "KEY_FILE",
    "Manifest",
    "Package",
    "Progress",
    "back_up",
    "check",
    "open_existing",
    "open_package",
    "refuse_used",
    "restore",
    "silent",
]
