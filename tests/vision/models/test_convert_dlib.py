"""dlib's file, read and rebuilt: compared with plain arithmetic, with dlib itself, and with damaged files."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from recognizance.core.errors import SetupError
from recognizance.core.settings import Settings
from recognizance.vision.models import ModelStore
from recognizance.vision.models.convert.dlib import convert
from recognizance.vision.models.convert.dlib_format import DlibReader

if TYPE_CHECKING:
    from collections.abc import Callable

Array = NDArray[np.float64]

REFERENCE = Path(__file__).with_name("dlib_reference.json")
MEAN = (120.0, 115.5, 104.25)
SIDE = 17


def integer(value: int) -> bytes:
    """Write an integer as dlib does."""
    size = max(1, (value.bit_length() + 7) // 8)
    return bytes([size | (0x80 if value < 0 else 0)]) + abs(value).to_bytes(size, "little")


def integers(*values: int) -> bytes:
    return b"".join(map(integer, values))


def real(value: float) -> bytes:
    """Write a float as dlib does: mantissa and exponent."""
    mantissa, exponent = math.frexp(value)
    return integers(int(mantissa * 2**53), exponent - 53)


def string(value: str) -> bytes:
    return integer(len(value)) + value.encode()


def tensor(values: Array) -> bytes:
    return integers(2, values.size, 1, 1, 1) + values.astype("<f4").tobytes()


EMPTY = integers(2, 0, 0, 0, 0)
STATE = b"110" + EMPTY * 3
ONES = real(1.0) * 4


class Network:
    """A small network of dlib's kind: written as dlib writes it, and computed with loops as dlib defines it."""

    def __init__(self) -> None:
        rng = np.random.default_rng(5)
        self.stem = self.layer(rng, 4, 3, 3, 2, 0)
        self.same = [self.layer(rng, 4, 4, 3, 1, 1), self.layer(rng, 4, 4, 3, 1, 1)]
        self.down = [self.layer(rng, 6, 4, 3, 2, 0), self.layer(rng, 6, 6, 3, 1, 1)]
        self.last = rng.normal(size=(6, 5)).astype(np.float32).astype(np.float64)

    @staticmethod
    def layer(rng: np.random.Generator, filters: int, channels: int, side: int, stride: int, pad: int) -> Any:
        shapes = [(filters, channels, side, side), (filters,), (filters,), (filters,)]
        weights, biases, scale, shift = (rng.normal(size=shape).astype(np.float32).astype(float) for shape in shapes)
        return weights, biases, scale, shift, stride, pad

    def written(self) -> bytes:
        """Return the network as a file."""
        relu, add = string("relu_") + STATE, string("add_prev_") + STATE
        average = string("avg_pool_2") + integers(2, 2, 2, 2, 0, 0) + STATE
        body = b"".join(
            [
                string("input_rgb_image_sized") + b"".join(map(real, MEAN)) + integers(SIDE, SIDE),
                self.convolution(self.stem, state=STATE + integer(1)),
                relu,
                string("max_pool_2") + integers(3, 3, 2, 2, 0, 0) + STATE,
                self.convolution(self.same[0]) + relu + self.convolution(self.same[1]) + add + relu,
                self.convolution(self.down[0]) + relu + self.convolution(self.down[1]) + average + add + relu,
                string("avg_pool_2") + integers(0, 0, 1, 1, 0, 0) + STATE,
                string("fc_2") + integers(5, 6) + tensor(self.last) + integers(1, 6, 5, 1, 1) + integers(1, 0, 0, 0, 0),
                integer(1) + ONES + STATE,
            ]
        )
        # One version for each layer: 3 for the innermost, 2 for every other that computes, 1 for tags and skips.
        versions = integers(*[2] * 5, 1, 1, *[2] * 5, 1, *[2] * 7, 1, *[2] * 3, 3)
        return integer(1) + string("loss_metric_2") + real(0.04) + real(0.6) + versions + body

    @staticmethod
    def convolution(layer: Any, state: bytes = STATE) -> bytes:
        weights, biases, scale, shift, stride, pad = layer
        filters, channels, side, _ = weights.shape
        return b"".join(
            [
                string("con_4") + tensor(np.concatenate([weights.ravel(), biases])),
                integers(filters, side, side, stride, stride, pad, pad),
                integers(1, filters, channels, side, side) + integers(1, 1, filters, 1, 1) + ONES + state,
                string("affine_") + tensor(np.concatenate([scale, shift])),
                integers(1, 1, filters, 1, 1) * 2 + integer(0) + STATE,
            ]
        )

    def computed(self, picture: Array) -> Array:
        """Return the embedding of a (3, side, side) picture."""
        x = (picture - np.array(MEAN)[:, None, None]) / 256
        x = pooled(np.maximum(convolved(x, self.stem), 0), 3, 2, np.max)
        x = np.maximum(added(convolved(np.maximum(convolved(x, self.same[0]), 0), self.same[1]), x), 0)
        y = convolved(np.maximum(convolved(x, self.down[0]), 0), self.down[1])
        x = np.maximum(added(y, pooled(x, 2, 2, np.mean)), 0)
        return np.asarray(x.mean((1, 2)) @ self.last)


def convolved(x: Array, layer: Any) -> Array:
    weights, biases, scale, shift, stride, pad = layer
    x = np.pad(x, ((0, 0), (pad, pad), (pad, pad)))
    side = weights.shape[2]
    places = range(0, x.shape[1] - side + 1, stride)
    rows = [[(weights * x[:, i : i + side, j : j + side]).sum((1, 2, 3)) for j in places] for i in places]
    out = np.moveaxis(np.array(rows), 2, 0) + biases[:, None, None]
    return np.asarray(out * scale[:, None, None] + shift[:, None, None])


def pooled(x: Array, side: int, stride: int, how: Callable[..., Any]) -> Array:
    places = range(0, x.shape[1] - side + 1, stride)
    rows = [[how(x[:, i : i + side, j : j + side], axis=(1, 2)) for j in places] for i in places]
    return np.moveaxis(np.array(rows), 2, 0)


def added(a: Array, b: Array) -> Array:
    out = np.zeros(np.maximum(a.shape, b.shape))
    for x in (a, b):
        out[tuple(slice(0, n) for n in x.shape)] += x
    return out


def chip(number: int) -> NDArray[np.uint8]:
    """Make the (150, 150, 3) picture of this number: folded waves, by integers alone, the same on every machine."""
    y, x = np.mgrid[0:150, 0:150]

    def wave(t: Any) -> Any:
        return np.abs(t % 510 - 255)

    planes = [
        wave((3 + number) * x + (2 + k) * y + 40 * k)
        + wave((5 - k) * x - (1 + number) * y + 90 * number)
        + wave(x * y // (7 + number + k))
        for k in range(3)
    ]
    return np.asarray(np.stack(planes, axis=2) // 3).astype(np.uint8)


@pytest.fixture(scope="module")
def file() -> bytes:
    return Network().written()


@pytest.fixture(scope="module")
def dlib_onnx() -> Path:
    """The converted network, installed by a process of its own, because the tests' own process has no network."""
    name = "dlib_face_recognition_resnet_v1"
    pull = f"""
from recognizance.core.settings import Settings
from recognizance.vision.models import ModelStore
raise SystemExit(ModelStore(Settings()).pull([{name!r}])[0].detail or None)
"""
    subprocess.run([sys.executable, "-c", pull], check=True, timeout=600)
    return ModelStore(Settings()).path(name)


@given(st.integers(-(2**64) + 1, 2**64 - 1))
def test_integers_are_read_as_dlib_writes_them(value: int) -> None:
    reader = DlibReader(integer(value))
    assert reader.integer() == value
    assert reader.remaining == 0


@given(st.floats(allow_nan=False, allow_infinity=False, min_value=-1e300, max_value=1e300))
def test_floats_are_read_as_dlib_writes_them(value: float) -> None:
    reader = DlibReader(real(value))
    assert reader.real() == value
    assert reader.remaining == 0


@given(st.binary(max_size=300), st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False)))
def test_strings_and_tensors_are_read_as_dlib_writes_them(data: bytes, values: list[float]) -> None:
    reader = DlibReader(integer(len(data)) + data + tensor(np.array(values)))
    assert reader.string().encode("latin-1") == data
    np.testing.assert_array_equal(reader.tensor(), np.array(values, np.float32))
    assert reader.remaining == 0


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_weights_that_are_no_numbers_are_refused(value: float) -> None:
    network = Network()
    network.stem[0][0, 0, 0, 0] = value
    with pytest.raises(SetupError, match="no numbers"):
        convert(network.written())


def test_weights_that_only_double_precision_holds_are_refused() -> None:
    network = Network()
    for part in network.stem[:3]:
        part[:] = 1e30
    with pytest.raises(SetupError, match="beyond single precision"):
        convert(network.written())


def test_a_network_computes_what_dlib_defines(file: bytes) -> None:
    """Folded normalisation, the zeros that an addition fills up with, and pooled shortcuts included."""
    session = onnxruntime.InferenceSession(convert(file))
    pictures = np.random.default_rng(2).uniform(0, 255, (3, 3, SIDE, SIDE))
    (found,) = session.run(None, {"image": pictures.astype(np.float32)})
    expected = np.stack([Network().computed(picture) for picture in pictures.astype(np.float32).astype(float)])
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_the_blocks_have_names_that_heads_can_be_attached_to(file: bytes) -> None:
    outputs = {name for node in onnx.load_model_from_string(convert(file)).graph.node for name in node.output}
    assert {"sum_01", "block_01", "sum_02", "block_02", "features", "embedding"} <= outputs


def test_converting_twice_gives_the_same_bytes(file: bytes) -> None:
    assert convert(file) == convert(file)


@settings(max_examples=300)
@given(st.binary(max_size=400))
def test_garbage_is_refused(data: bytes) -> None:
    with pytest.raises(SetupError):
        convert(data)


@settings(max_examples=200)
@given(st.data())
def test_a_truncated_file_is_refused(file: bytes, data: st.DataObject) -> None:
    with pytest.raises(SetupError):
        convert(file[: data.draw(st.integers(0, len(file) - 1))])


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_a_file_with_a_wrong_byte_is_converted_or_refused_and_nothing_else(file: bytes, data: st.DataObject) -> None:
    """A byte of a weight makes another network; a byte of the structure is found out."""
    position = data.draw(st.integers(0, len(file) - 1))
    damaged = bytearray(file)
    damaged[position] ^= data.draw(st.integers(1, 255))
    try:
        onnx.checker.check_model(onnx.load_model_from_string(convert(bytes(damaged))))
    except SetupError as error:
        assert "dlib" in str(error)  # noqa: PT017 - both ends are right


@pytest.mark.network
def test_dlibs_own_network_gives_dlibs_own_embeddings(dlib_onnx: Path) -> None:
    """The numbers were made with dlib itself, from pictures that are formulas."""
    expected = np.array(json.loads(REFERENCE.read_text())["embeddings"])
    pictures = np.stack([chip(number) for number in range(len(expected))]).transpose(0, 3, 1, 2).astype(np.float32)
    (found,) = onnxruntime.InferenceSession(dlib_onnx).run(None, {"image": pictures})
    assert np.abs(found - expected).max() < 1e-5
    distances = np.linalg.norm(expected[:, None] - expected, axis=2)[~np.eye(len(expected), dtype=bool)]
    assert distances.min() > 0.1  # the pictures differ enough to tell networks apart
