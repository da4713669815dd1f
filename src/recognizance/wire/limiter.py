"""How many requests a second one access key may make.

A token bucket for each key (J. S. Turner, "New directions in communications", IEEE Communications Magazine 24 (10),
1986): it holds as many tokens as may be used at once, and fills at the rate. Rekognition answers requests beyond an
account's rate with ProvisionedThroughputExceededException, which its model lists for every operation.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from recognizance.core.errors import ThroughputExceededError

if TYPE_CHECKING:
    from collections.abc import Callable

    from recognizance.wire.metrics import Metrics

_SWEEP = 1024
"""How many keys are remembered before those that are quiet are forgotten."""


class Limiter:
    """Limits each key apart. Safe to use from many threads.

    A bucket that is full again is the same as none, so only keys in recent use take memory. Ask only for keys whose
    signature was verified: then there are never more buckets than keys.

    Args:
        rate: Requests a second of one key; 0 sets no limit.
        burst: Requests that a key may make at once after a rest.
        metrics: Where refusals are counted.
        now: Tells the time, in seconds from any moment.
    """

    def __init__(self, *, rate: float, burst: int, metrics: Metrics, now: Callable[[], float] = time.monotonic) -> None:
        self._rate, self._metrics, self._now = rate, metrics, now
        self._interval = 1 / rate if rate else 0.0
        self._depth = burst * self._interval
        # A bucket is the moment at which it will be full: tokens in it are (that moment - now) short of the burst.
        self._full_at: dict[str, float] = {}
        self._sweep_at = _SWEEP
        self._lock = threading.Lock()

    def __len__(self) -> int:
        """Return how many keys are remembered."""
        return len(self._full_at)

    def take(self, access_key_id: str) -> None:
        """Let a request of this key pass.

        Raises:
            ThroughputExceededError: The key is over its rate.
        """
        if not self._rate:
            return
        now = self._now()
        with self._lock:
            full_at = max(now, self._full_at.get(access_key_id, now)) + self._interval
            passes = full_at - now <= self._depth * (1 + 1e-9)  # sums of floats
            if passes:
                self._full_at[access_key_id] = full_at
                if len(self._full_at) > self._sweep_at:
                    self._sweep(now)
        if not passes:
            self._metrics.rejected.labels("rate").inc()
            raise ThroughputExceededError

    def _sweep(self, now: float) -> None:
        self._full_at = {key: full_at for key, full_at in self._full_at.items() if full_at > now}
        self._sweep_at = max(_SWEEP, 2 * len(self._full_at))
