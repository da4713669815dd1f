"""Clocks, and the figures made from them."""

import time

from recognizance.cli.bench.timing import Latency, Rate, for_seconds, milliseconds


def test_a_call_is_timed_with_its_arguments() -> None:
    assert milliseconds(time.sleep, 0.02) >= 20


def test_turns_go_on_until_the_time_is_over() -> None:
    started = time.perf_counter()
    turns = []
    for turn in for_seconds(0.05, least=1):
        turns.append(turn)
        time.sleep(0.01)
    assert time.perf_counter() - started >= 0.05
    assert turns == list(range(len(turns)))


def test_there_are_enough_turns_even_when_the_time_is_over() -> None:
    assert list(for_seconds(0, least=3)) == [0, 1, 2]


def test_a_rate_is_the_median_of_its_rounds() -> None:
    assert Rate.of([30.0, 10.0, 20.0]) == Rate(20.0, slowest=10.0, fastest=30.0, rounds=3)


def test_latency_is_given_in_percentiles() -> None:
    assert Latency.of([float(n) for n in range(101)]) == Latency(50.0, 90.0, 99.0)
