"""dlib's face recognition network, from dlib's own file to ONNX.

The network (Davis King, 2017, public domain by CC0) is a ResNet of 29 convolutions. This module rebuilds it as a
standard ONNX graph out of what :mod:`~recognizance.vision.models.convert.dlib_format` reads; dlib itself is not needed.
The embeddings agree with dlib's own to a few parts in ten million.

What dlib's file does not say is where a residual block begins: it begins after the first max pooling and after every
ReLU that follows an addition. The block's end adds the block's input to its output; where an average pooling stands
before the addition, it is the block's input that is pooled. dlib's addition takes the larger of both shapes and fills
up with zeros, at the right, at the bottom and in the channels.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from recognizance.vision.models.convert.dlib_format import (
    Add,
    Affine,
    Convolution,
    FloatArray,
    FullyConnected,
    Input,
    Layer,
    Pair,
    Pooling,
    Relu,
    read,
    unreadable,
)

_OPSET = 13
_IR_VERSION = 8


def convert(source: bytes) -> bytes:
    """Return dlib's face recognition network as an ONNX file.

    Args:
        source: ``dlib_face_recognition_resnet_model_v1.dat``.

    Returns:
        An ONNX file with the input ``image`` (N, 3, 150, 150), float32 RGB 0 to 255 of an aligned face, and the
        output ``embedding`` (N, 128), not normalised. In the graph, the outputs of the fourteen residual blocks are
        named ``block_01`` to ``block_14``, and the sums before their ReLU ``sum_01`` to ``sum_14``, so that further
        heads can be attached: 32 channels of 35 x 35 up to the third, 64 of 17 x 17 up to the seventh, 128 of 8 x 8
        up to the tenth, 256 of 4 x 4 up to the thirteenth, and of 2 x 2 in the last.

    Raises:
        SetupError: The file is damaged, or holds another network.
    """
    entry, layers = read(source)
    return _Graph(entry.size).build(list(_folded(entry, layers)))


def _folded(entry: Input, layers: Sequence[Layer]) -> Iterator[Layer]:
    """Yield the layers with the input's normalisation and every affine layer folded into the convolutions."""
    first = True
    for index, layer in enumerate(layers):
        if isinstance(layer, Affine):
            continue
        if not isinstance(layer, Convolution):
            yield layer
            continue
        affine = layers[index + 1] if index + 1 < len(layers) else None
        if not isinstance(affine, Affine) or affine.scale.size != len(layer.weights):
            raise unreadable("a convolution without its normalisation")
        weights, biases = _normalising(entry, layer) if first else _doubles(layer)
        first = False
        scale = affine.scale.astype(np.float64)
        yield replace(
            layer,
            weights=_single(weights * scale[:, None, None, None]),
            biases=_single(biases * scale + affine.shift),
        )


def _single(values: NDArray[np.float64]) -> FloatArray:
    if (np.abs(values) > np.finfo(np.float32).max).any():
        raise unreadable("weights beyond single precision")
    return values.astype(np.float32)


def _doubles(layer: Convolution) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    return layer.weights.astype(np.float64), layer.biases.astype(np.float64)


def _normalising(entry: Input, layer: Convolution) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return a convolution's weights and biases such that it takes pictures instead of (x - mean) / 256.

    The sums are exact, so that they do not depend on the order in which a processor adds.
    """
    weights, biases = _doubles(layer)
    if layer.padding != (0, 0) or weights.shape[1] != len(entry.mean):
        # Zeros around the normalised picture would stand for its mean colour.
        raise unreadable("a first convolution that does not fit the input")
    weights = weights / 256
    shifts = weights * np.array(entry.mean)[None, :, None, None]
    return weights, biases - np.array([math.fsum(row) for row in shifts.reshape(len(shifts), -1)])


@dataclass(frozen=True, slots=True)
class _Map:
    """A tensor of the graph that is being built: its name, its channels, its rows and columns."""

    name: str
    channels: int
    size: Pair

    def windowed(self, name: str, window: Pair, stride: Pair, padding: Pair) -> "_Map":
        """Return the map that a window with this stride and padding makes of this one."""
        rows, columns = (
            (length + 2 * pad - extent) // step + 1
            for length, extent, step, pad in zip(self.size, window, stride, padding, strict=True)
        )
        if min(rows, columns) < 1:
            raise unreadable("a layer that is larger than its input")
        return _Map(name, self.channels, (rows, columns))


class _Graph:
    """Builds the ONNX graph layer by layer."""

    def __init__(self, size: Pair) -> None:
        self._nodes: list[onnx.NodeProto] = []
        self._weights: list[onnx.TensorProto] = []
        self._size = size
        self._current = _Map("image", 3, size)
        self._shortcut: _Map | None = None  # what the addition at the end of the present block adds
        self._blocks = 0

    def build(self, layers: Sequence[Layer]) -> bytes:
        """Return the ONNX file of these layers."""
        neighbours = zip([None, *layers[:-1]], layers, [*layers[1:], None], strict=True)
        for before, layer, after in neighbours:
            match layer:
                case Convolution():
                    self._convolution(layer)
                case Pooling(kind="max"):
                    self._current = self._shortcut = self._pool(layer, self._current)
                case Pooling() if isinstance(after, Add):
                    self._shortcut = self._pool(layer, self._block_input())
                case Pooling():
                    self._current = self._pool(layer, self._current)
                case Add():
                    self._add()
                case Relu():
                    self._relu(ends_block=isinstance(before, Add))
                case FullyConnected() if after is None:
                    return self._file(layer)
        raise unreadable("a network whose last layer is not fully connected")

    def _name(self, kind: str) -> str:
        return f"{kind}_{len(self._nodes):03d}"

    def _node(
        self,
        operator: str,
        inputs: Sequence[str],
        output: str,
        **attributes: Any,  # noqa: ANN401 - as ONNX has it
    ) -> str:
        """Add a node and return its output, which has its name."""
        self._nodes.append(helper.make_node(operator, inputs, [output], name=output, **attributes))
        return output

    def _constant(self, values: NDArray[np.float32] | NDArray[np.int64], name: str) -> str:
        self._weights.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def _convolution(self, layer: Convolution) -> None:
        filters, channels, rows, columns = layer.weights.shape
        if channels != self._current.channels:
            raise unreadable("a convolution that does not fit its input")
        name = self._name("conv")
        weights = [
            self._constant(layer.weights, f"{name}.weights"),
            self._constant(layer.biases, f"{name}.biases"),
        ]
        self._node(
            "Conv",
            [self._current.name, *weights],
            name,
            kernel_shape=[rows, columns],
            strides=layer.stride,
            pads=layer.padding * 2,
        )
        self._current = replace(
            self._current.windowed(name, (rows, columns), layer.stride, layer.padding), channels=filters
        )

    def _pool(self, layer: Pooling, source: _Map) -> _Map:
        name = self._name("pool")
        if layer.window == (0, 0):
            return _Map(self._node("GlobalAveragePool", [source.name], name), source.channels, (1, 1))
        operator = {"max": "MaxPool", "avg": "AveragePool"}[layer.kind]
        self._node(
            operator,
            [source.name],
            name,
            kernel_shape=layer.window,
            strides=layer.stride,
            pads=layer.padding * 2,
        )
        return source.windowed(name, layer.window, layer.stride, layer.padding)

    def _block_input(self) -> _Map:
        if self._shortcut is None:
            raise unreadable("a residual block without a beginning")
        return self._shortcut

    def _add(self) -> None:
        both = (self._current, self._block_input())
        channels = max(one.channels for one in both)
        size = (max(one.size[0] for one in both), max(one.size[1] for one in both))
        inputs = [self._padded(one, channels, size) for one in both]
        self._blocks += 1
        self._current = _Map(self._node("Add", inputs, f"sum_{self._blocks:02d}"), channels, size)
        self._shortcut = None

    def _padded(self, source: _Map, channels: int, size: Pair) -> str:
        """Return the name of ``source`` filled up with zeros to this shape."""
        missing = [0, channels - source.channels, size[0] - source.size[0], size[1] - source.size[1]]
        if not any(missing):
            return source.name
        name = self._name("pad")
        pads = self._constant(np.array([0, 0, 0, 0, *missing], np.int64), f"{name}.pads")
        return self._node("Pad", [source.name, pads], name, mode="constant")

    def _relu(self, *, ends_block: bool) -> None:
        name = f"block_{self._blocks:02d}" if ends_block else self._name("relu")
        self._current = replace(self._current, name=self._node("Relu", [self._current.name], name))
        if ends_block:
            self._shortcut = self._current

    def _file(self, last: FullyConnected) -> bytes:
        """Attach the last layer and return the ONNX file."""
        inputs, outputs = last.weights.shape
        if self._current.size != (1, 1) or self._current.channels != inputs:
            raise unreadable("a last layer that does not fit its input")
        flat = self._node("Flatten", [self._current.name], "features", axis=1)
        self._node("MatMul", [flat, self._constant(last.weights, "embedding.weights")], "embedding")
        tensor = helper.make_tensor_value_info
        graph = helper.make_graph(
            self._nodes,
            "dlib_face_recognition_resnet_v1",
            [tensor("image", onnx.TensorProto.FLOAT, ["N", 3, *self._size])],
            [tensor("embedding", onnx.TensorProto.FLOAT, ["N", outputs])],
            self._weights,
        )
        model = helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", _OPSET)],
            ir_version=_IR_VERSION,
            producer_name="recognizance",
        )
        onnx.checker.check_model(model)
        return bytes(model.SerializeToString(deterministic=True))
