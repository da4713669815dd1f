"""The least time that a search can take: that of reading every code from memory once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from time import perf_counter

import numpy as np

_TURNS = 7
_CODES_A_BYTE, _DIMENSIONS_A_CODE = 2, 2


def code_bytes(width: int) -> int:
    """Return the bytes of a stored vector's codes: four bits for each two dimensions, in whole bytes."""
    codes = -(-width // _DIMENSIONS_A_CODE)
    return -(-codes // _CODES_A_BYTE)


class Floor:
    """Reads as many bytes as a search must.

    Args:
        size: How many bytes.
        threads: How many threads share them, as the index's own do.
    """

    def __init__(self, size: int, threads: int) -> None:
        # Ones: pages of zeros that nobody wrote to are all one page of memory.
        self._parts = [np.ones(max(1, size // threads // 4), np.float32) for _ in range(threads)]
        self._threads = ThreadPoolExecutor(threads)

    def ms(self) -> float:
        """Return the best of a few turns, in milliseconds.

        The greatest of all float32 numbers was the fastest way to look at every byte among numpy's reductions.
        """
        times = []
        for _ in range(_TURNS):
            started = perf_counter()
            list(self._threads.map(np.max, self._parts))
            times.append((perf_counter() - started) * 1000)
        return min(times)

    def close(self) -> None:
        """End the threads."""
        self._threads.shutdown()
