"""Rates of keys: how many pass, how many are remembered, and what a client sees."""

from __future__ import annotations

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError
from hypothesis import given
from hypothesis import strategies as st

from recognizance.core.errors import ThroughputExceededError
from recognizance.wire import limiter
from recognizance.wire.limiter import Limiter
from recognizance.wire.metrics import Metrics

if TYPE_CHECKING:
    from collections.abc import Callable


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


def passes(limited: Limiter, key: str = "AKIDEXAMPLE") -> bool:
    try:
        limited.take(key)
    except ThroughputExceededError:
        return False
    return True


@given(
    st.floats(0.01, 1000),
    st.integers(1, 50),
    st.lists(st.floats(0, 10) | st.just(0.0), min_size=1, max_size=100),
)
def test_no_more_pass_in_any_time_than_the_burst_and_the_rate_allow(
    rate: float, burst: int, pauses: list[float]
) -> None:
    clock = Clock()
    limited = Limiter(rate=rate, burst=burst, metrics=Metrics(), now=clock)
    passed = []
    for pause in pauses:
        clock.seconds += pause
        if passes(limited):
            passed.append(clock.seconds)
    assert passed[0] == 1000.0 + pauses[0]
    for first, start in enumerate(passed):
        for last, end in enumerate(passed[first:], 1):
            assert last <= burst + rate * (end - start) + 1e-6


def test_a_key_that_keeps_to_its_rate_is_never_refused() -> None:
    clock = Clock()
    limited = Limiter(rate=7, burst=1, metrics=Metrics(), now=clock)
    for _ in range(1000):
        assert passes(limited)
        clock.seconds += 1 / 7


def test_after_a_rest_the_burst_is_there_again() -> None:
    clock = Clock()
    limited = Limiter(rate=2, burst=3, metrics=Metrics(), now=clock)
    assert [passes(limited) for _ in range(5)] == [True, True, True, False, False]
    clock.seconds += 0.5
    assert [passes(limited) for _ in range(2)] == [True, False]
    clock.seconds += 60
    assert [passes(limited) for _ in range(5)] == [True, True, True, False, False]


def test_keys_that_are_quiet_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limiter, "_SWEEP", 10)
    clock = Clock()
    limited = Limiter(rate=1, burst=5, metrics=Metrics(), now=clock)
    for number in range(1000):
        clock.seconds += 1
        assert passes(limited, f"AKID{number}")
        assert len(limited) <= 11


def test_threads_share_a_rate() -> None:
    limited = Limiter(rate=1e-6, burst=100, metrics=Metrics())
    barrier = threading.Barrier(8)

    def work(_: int) -> Counter[bool]:
        barrier.wait(30)
        return Counter(passes(limited) for _ in range(50))

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(work, range(8)), Counter[bool]()) == {True: 100, False: 300}


def test_a_key_over_its_rate_is_refused_as_rekognition_refuses(serve: Callable[..., Any]) -> None:
    server = serve(requests_per_second=1e-6, request_burst=2)
    client = server.boto()
    client.list_collections()
    client.list_collections()
    with pytest.raises(client.exceptions.ProvisionedThroughputExceededException) as caught:
        client.list_collections()
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
    assert caught.value.response["Error"]["Message"] == "Provisioned Rate exceeded"
    assert server.backend.calls["ListCollections"] == 2
    metrics = server.request("GET", "/metrics").body.decode()
    assert 'recognizance_rejected_total{reason="rate"} 1.0' in metrics
    assert "AKIDEXAMPLE" not in metrics


def test_a_key_over_its_rate_takes_nothing_from_another(serve: Callable[..., Any]) -> None:
    server = serve(requests_per_second=1e-6, request_burst=1)
    assert [server.call("ListCollections").status for _ in range(2)] == [200, 400]
    other = {"key_id": "ASIDEXAMPLE", "token": "FwoGZXIvYXdzEXAMPLE//token=="}
    assert server.call("ListCollections", **other).status == 200


def test_nobody_without_the_secret_can_use_up_a_key_s_rate(serve: Callable[..., Any]) -> None:
    server = serve(requests_per_second=1e-6, request_burst=1)
    for _ in range(3):
        assert server.call("ListCollections", secret="wrong").json["__type"] == "InvalidSignatureException"
        assert server.call("ListCollections", key_id="AKIDUNKNOWN").json["__type"] == "UnrecognizedClientException"
    assert server.call("ListCollections").status == 200


@pytest.mark.parametrize("mode", ["legacy", "standard", "adaptive"])
def test_boto3_gets_through_by_trying_again(serve: Callable[..., Any], mode: Any) -> None:
    from botocore.config import Config

    server = serve(requests_per_second=20, request_burst=1)
    client = server.boto(config=Config(retries={"mode": mode, "total_max_attempts": 10}))
    for _ in range(4):
        client.list_collections()
    assert server.backend.calls["ListCollections"] == 4


def test_without_a_setting_there_is_no_rate(server: Any) -> None:
    client = server.boto()
    try:
        for _ in range(100):
            client.list_collections()
    except ClientError as error:
        pytest.fail(str(error))
