"""CenterFace's graph, made to take pictures of any size."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from recognizance.core.errors import SetupError
from recognizance.vision.models.convert.centerface import convert

CHANNELS = (1, 2, 2, 10)


def published(channels: tuple[int, ...] = CHANNELS, *, rank: int = 4) -> bytes:
    """Return a graph of the published one's form: fixed sizes, weights among the inputs, a left-over counter."""
    rng = np.random.default_rng(3)
    weights = [rng.normal(size=(n, 3, 4, 4)).astype(np.float32) for n in channels]
    names = [f"w{i}" for i in range(len(channels))]
    initializers = [numpy_helper.from_array(w, name) for w, name in zip(weights, names, strict=True)]
    initializers.append(numpy_helper.from_array(np.array(7, np.int64), "num_batches_tracked"))
    tensor = helper.make_tensor_value_info
    shape = [10, 3, 32, 32][:rank]
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["picture", name], [f"out{i}"], strides=[4, 4], kernel_shape=[4, 4])
            for i, name in enumerate(names)
        ],
        "g",
        [
            tensor("picture", TensorProto.FLOAT, shape),
            *(tensor(name, TensorProto.FLOAT, w.shape) for name, w in zip(names, weights, strict=True)),
        ],
        [tensor(f"out{i}", TensorProto.FLOAT, [10, n, 8, 8]) for i, n in enumerate(channels)],
        initializers,
        value_info=[tensor("out0", TensorProto.FLOAT, [10, 1, 8, 8])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)], ir_version=8)
    return bytes(model.SerializeToString())


def test_pictures_of_any_size_run_and_weights_stay() -> None:
    session = onnxruntime.InferenceSession(convert(published()))
    assert [value.name for value in session.get_inputs()] == ["picture"]
    small = np.random.default_rng(1).uniform(0, 255, (10, 3, 32, 32)).astype(np.float32)
    before = onnxruntime.InferenceSession(published()).run(None, {"picture": small})
    for old, new in zip(before, session.run(None, {"picture": small}), strict=True):
        np.testing.assert_allclose(old, new, rtol=1e-4, atol=1e-2)  # another algorithm, chosen for constant weights
    large = session.run(None, {"picture": np.zeros((2, 3, 64, 96), np.float32)})
    assert [value.shape for value in large] == [(2, n, 16, 24) for n in CHANNELS]


def test_weights_are_constants_and_left_overs_are_gone() -> None:
    before, after = (onnx.load_model_from_string(data).graph for data in (published(), convert(published())))
    assert [value.name for value in after.input] == ["picture"]
    assert list(after.initializer) == list(before.initializer)[:4]


@pytest.mark.parametrize("other", [b"", published((1, 2, 2)), published(rank=3)], ids=["empty", "outputs", "rank"])
def test_another_network_is_refused(other: bytes) -> None:
    with pytest.raises(SetupError, match="not CenterFace"):
        convert(other)


@given(st.binary(min_size=1, max_size=300))
def test_garbage_is_refused(data: bytes) -> None:
    with pytest.raises(SetupError):
        convert(data)
