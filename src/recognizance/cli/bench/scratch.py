"""The folder that a run works in."""

from __future__ import annotations

import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from platformdirs import user_cache_path

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """Give an empty folder, which is deleted at the end of the block.

    It lies in the user's cache and not where temporary files lie: that is memory on many machines, and what is
    committed to memory is committed too fast.
    """
    parent = user_cache_path("recognizance") / "bench"
    parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="run-", dir=parent) as folder:
        yield Path(folder)
