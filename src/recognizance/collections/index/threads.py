"""How many threads a search takes."""

import os
from concurrent.futures import ThreadPoolExecutor
from functools import cache

from threadpoolctl import threadpool_limits


@cache
def one_thread_a_product() -> None:
    """Let each matrix product of this process run in the thread that asks for it, from the first call on.

    A scan is bound by memory, so a second thread gains little when the machine is idle; when it is not, OpenBLAS's
    threads wait for each other in busy loops: 100,000 vectors of 129 took 8 ms with one thread, and 15 to 130 ms with
    two, on two cores that had other work. A server has enough requests to keep its cores busy.
    """
    threadpool_limits(1, user_api="blas")


@cache
def scanners() -> ThreadPoolExecutor:
    """Return the threads that scan segments for every index of this process, one for each core."""
    return ThreadPoolExecutor(len(os.sched_getaffinity(0)), thread_name_prefix="scan")
