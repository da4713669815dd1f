"""Running networks: batches shared between threads, and both back ends."""

import threading
import time
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from recognizance.core.errors import SetupError
from recognizance.core.settings import Settings
from recognizance.vision.faces import FloatArray
from recognizance.vision.runtime import Batcher, Runtime

Backend = Literal["openvino", "onnxruntime"]


class Doubler:
    """Doubles its rows, slowly enough for others to queue up, and notes the batch sizes."""

    def __init__(self) -> None:
        self.sizes: list[int] = []

    def __call__(self, rows: NDArray[Any]) -> FloatArray:
        self.sizes.append(len(rows))
        time.sleep(0.01)
        return np.asarray(rows * 2, np.float32)


def rows(*values: float) -> FloatArray:
    return np.array(values, np.float32).reshape(-1, 1)


def test_a_lone_caller_gets_its_rows_in_order_in_batches_of_the_largest_size() -> None:
    network = Doubler()
    out = Batcher(network, 4)(rows(*range(10)))
    np.testing.assert_array_equal(out[:, 0], np.arange(10) * 2)
    assert network.sizes == [4, 4, 2]


def test_threads_share_batches_and_get_their_own_rows_back() -> None:
    network = Doubler()
    batcher = Batcher(network, 16)
    results: dict[int, FloatArray] = {}

    def ask(i: int) -> None:
        results[i] = batcher(rows(i, i + 0.5))

    threads = [threading.Thread(target=ask, args=(i,)) for i in range(24)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for i in range(24):
        np.testing.assert_array_equal(results[i][:, 0], [2 * i, 2 * i + 1])
    assert sum(network.sizes) == 48
    assert max(network.sizes) <= 16
    assert len(network.sizes) < 24


def test_a_failure_reaches_everyone_in_the_batch_and_the_next_batch_works() -> None:
    calls = iter([True, False])

    def fails_once(batch: NDArray[Any]) -> FloatArray:
        if next(calls):
            raise MemoryError("no room")
        return np.asarray(batch, np.float32)

    batcher = Batcher(fails_once, 4)
    with pytest.raises(MemoryError):
        batcher(rows(1))
    assert batcher(rows(2))[0, 0] == 2


@pytest.fixture
def convolution(tmp_path: Path) -> Path:
    """A network of one convolution, over pictures of any size."""
    weights = numpy_helper.from_array(np.full((2, 3, 1, 1), 0.5, np.float32), "w")
    graph = helper.make_graph(
        [helper.make_node("Conv", ["x", "w"], ["y"])],
        "one",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, "h", "w"])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 2, "h", "w"])],
        [weights],
    )
    path = tmp_path / "one.onnx"
    path.write_bytes(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8).SerializeToString()
    )
    onnx.checker.check_model(str(path))
    return path


@pytest.mark.parametrize("backend", ["openvino", "onnxruntime"])
def test_both_back_ends_give_the_same_for_any_size(backend: Backend, convolution: Path) -> None:
    network = Runtime(Settings(runtime=backend, precision="f32")).load(convolution)
    for side in (3, 8):
        batch = np.random.default_rng(side).random((1, 3, side, side), np.float32)
        (out,) = network(batch)
        np.testing.assert_allclose(out, np.repeat(batch.sum(axis=1, keepdims=True) / 2, 2, axis=1), rtol=1e-5)


def test_outputs_stay_when_the_network_runs_again(convolution: Path) -> None:
    network = Runtime(Settings(precision="f32")).load(convolution)
    first = network(np.ones((1, 3, 2, 2), np.float32))[0]
    network(np.zeros((1, 3, 2, 2), np.float32))
    assert (first == 1.5).all()


@pytest.mark.parametrize(("threads", "streams", "made"), [(2, 1, 1), (2, 0, 2), (2, 8, 2), (8, 0, 8)])
def test_streams_share_the_threads(threads: int, streams: int, made: int, convolution: Path) -> None:
    runtime = Runtime(Settings(threads=threads, streams=streams, precision="f32"))
    assert (runtime.threads, runtime.streams) == (threads, made)
    assert (runtime.load(convolution)(np.ones((1, 3, 2, 2), np.float32))[0] == 1.5).all()


@pytest.mark.parametrize("streams", [1, 0])
def test_many_threads_may_run_one_network(streams: int, convolution: Path) -> None:
    network = Runtime(Settings(precision="f32", threads=2, streams=streams)).load(convolution)
    wrong: list[int] = []

    def ask(i: int) -> None:
        batch = np.full((1, 3, 4, 4), i, np.float32)
        wrong.extend(i for _ in range(20) if not np.allclose(network(batch)[0], 1.5 * i))

    threads = [threading.Thread(target=ask, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.parametrize("backend", ["openvino", "onnxruntime"])
def test_a_file_that_is_no_network_is_named(backend: Backend, tmp_path: Path) -> None:
    path = tmp_path / "broken.onnx"
    path.write_bytes(b"not a network")
    with pytest.raises(SetupError, match=r"broken\.onnx"):
        Runtime(Settings(runtime=backend)).load(path)
