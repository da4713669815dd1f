"""One collection as Parquet files, for other tools and for another installation."""

from recognizance.collections.transfer.about import About, users_path
from recognizance.collections.transfer.incoming import Incoming, open_incoming
from recognizance.collections.transfer.outgoing import Exported, export
from recognizance.collections.transfer.storing import Imported, store

__all__ = [
    "About",
    "Exported",
    "Imported",
    "Incoming",
    "export",
    "open_incoming",
    "store",
    "users_path",
]
