"""dlib's file format, as far as its face recognition network needs it.

Written after ``dlib/serialize.h``, ``dlib/cuda/tensor.h``, ``dlib/dnn/core.h`` and ``dlib/dnn/layers.h`` of dlib 19:

- An integer is one byte, whose low four bits count the bytes that follow and whose top bit is the sign, and then the
  magnitude, least significant byte first. A bool is the character ``0`` or ``1``.
- A float is two integers: mantissa and binary exponent.
- A string is its length as an integer, and its bytes.
- A tensor is a version (2), four integers (samples, channels, rows, columns), and its values, little-endian float32.
  An alias tensor, which tells how a part of another tensor is shaped, is a version (1) and the four integers.
- A network is written from the outside in, so that the file begins with the versions of all its layers, loss first,
  and then gives each layer's own data from the input to the output. A computing layer's data is its name, its fields,
  three bools and three tensors, which are empty in a trained network. Tags and skips, which say where the residual
  branches begin and end, write nothing but their version.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recognizance.core.errors import SetupError

_MAX_VALUES = 50_000_000  # no tensor of this network comes near; a damaged length must not ask for memory

FloatArray = NDArray[np.float32]
Pair = tuple[int, int]


class DlibReader:
    """Reads the primitive values of dlib's serialization from bytes, one after the other.

    Attributes:
        position: The offset of the next byte.

    Raises:
        SetupError: From every method: the bytes end too early, or are not of the asked kind.
    """

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.position = 0

    @property
    def remaining(self) -> int:
        """Return how many bytes are left."""
        return len(self._data) - self.position

    def take(self, count: int) -> bytes:
        """Return the next ``count`` bytes."""
        if not 0 <= count <= self.remaining:
            raise unreadable(f"{self.remaining} bytes from offset {self.position} on instead of {count}")
        self.position += count
        return self._data[self.position - count : self.position]

    def integer(self) -> int:
        """Return the next integer, of at most 64 bits."""
        head = self.take(1)[0]
        size = head & 0x0F
        if head & 0x70 or not 1 <= size <= 8:
            raise unreadable(f"no integer at offset {self.position - 1}")
        magnitude = int.from_bytes(self.take(size), "little")
        return -magnitude if head & 0x80 else magnitude

    def integers(self, count: int) -> tuple[int, ...]:
        """Return the next ``count`` integers."""
        return tuple(self.integer() for _ in range(count))

    def real(self) -> float:
        """Return the next floating point number."""
        mantissa, exponent = self.integers(2)
        try:
            return math.ldexp(mantissa, exponent)
        except OverflowError as error:
            raise unreadable(f"no finite number before offset {self.position}") from error

    def boolean(self) -> bool:
        """Return the next truth value."""
        character = self.take(1)
        if character not in (b"0", b"1"):
            raise unreadable(f"no bool at offset {self.position - 1}")
        return character == b"1"

    def string(self) -> str:
        """Return the next string."""
        return self.take(self.integer()).decode("latin-1")

    def expect(self, what: str, *versions: int) -> int:
        """Return the next integer, which must be one of these versions of ``what``."""
        version = self.integer()
        if version not in versions:
            raise unreadable(f"version {version} of {what} before offset {self.position}")
        return version

    def tensor(self) -> FloatArray:
        """Return the values of the next tensor, (n,) float32; its shape does not matter to anyone."""
        self.expect("a tensor", 2)
        shape = self.integers(4)
        count = math.prod(shape)
        if min(shape) < 0 or count > _MAX_VALUES:
            raise unreadable(f"a tensor of shape {shape} before offset {self.position}")
        values = np.frombuffer(self.take(4 * count), "<f4").astype(np.float32)
        if not np.isfinite(values).all():
            raise unreadable(f"values that are no numbers before offset {self.position}")
        return values

    def alias(self) -> tuple[int, ...]:
        """Return the shape of the next alias tensor."""
        self.expect("an alias tensor", 1)
        return self.integers(4)


@dataclass(frozen=True, slots=True, eq=False)
class Input:
    """The input: (x - mean) / 256 of an RGB picture of ``size`` rows and columns, ``mean`` a value a channel."""

    mean: tuple[float, ...]
    size: Pair


@dataclass(frozen=True, slots=True, eq=False)
class Convolution:
    """A convolution: weights (filters, channels, rows, columns), biases (filters,)."""

    weights: FloatArray
    biases: FloatArray
    stride: Pair
    padding: Pair


@dataclass(frozen=True, slots=True, eq=False)
class Affine:
    """Batch normalisation of a trained network: a factor and a summand a channel, both (channels,)."""

    scale: FloatArray
    shift: FloatArray


@dataclass(frozen=True, slots=True)
class Pooling:
    """Max or average pooling; a window of 0 x 0 covers everything. dlib's average leaves padding out."""

    kind: str
    window: Pair
    stride: Pair
    padding: Pair


@dataclass(frozen=True, slots=True)
class Relu:
    """max(x, 0)."""


@dataclass(frozen=True, slots=True)
class Add:
    """The end of a residual block."""


@dataclass(frozen=True, slots=True, eq=False)
class FullyConnected:
    """The last layer, without a bias: weights (inputs, outputs)."""

    weights: FloatArray


Layer = Convolution | Affine | Pooling | Relu | Add | FullyConnected


def read(source: bytes) -> tuple[Input, list[Layer]]:
    """Read the network's input and its layers, from the input to the output.

    Raises:
        SetupError: The file is damaged, or holds another network.
    """
    reader = DlibReader(source)
    computing = _read_versions(reader)
    entry = _read_input(reader)
    layers = []
    for number in range(computing):
        layers.append(_read_layer(reader))
        _read_training_state(reader, innermost=number == 0)
    if reader.remaining:
        raise unreadable(f"{reader.remaining} bytes too many")
    return entry, layers


def _read_versions(reader: DlibReader) -> int:
    """Read the loss and the versions of all layers; return how many of them compute something."""
    reader.expect("the loss layer", 1)
    if (loss := reader.string()) != "loss_metric_2":
        raise unreadable(f"a network with {loss!r} instead of a metric loss")
    reader.real(), reader.real()  # margin and distance threshold, of use in training alone
    computing = 1
    while (version := reader.expect("a layer", 1, 2, 3)) != 3:  # only the innermost layer is of version 3
        computing += version == 2  # version 1 is a tag or a skip
    return computing


def _read_input(reader: DlibReader) -> Input:
    if (name := reader.string()) != "input_rgb_image_sized":
        raise unreadable(f"a network with the input {name!r}")
    mean = (reader.real(), reader.real(), reader.real())
    rows, columns = reader.integers(2)
    if not (1 <= rows <= 10_000 and 1 <= columns <= 10_000):
        raise unreadable(f"a network for pictures of {rows} x {columns}")
    return Input(mean, (rows, columns))


def _read_layer(reader: DlibReader) -> Layer:
    match reader.string():
        case "con_4":
            return _read_convolution(reader)
        case "affine_":
            return _read_affine(reader)
        case "relu_":
            return Relu()
        case "max_pool_2" | "avg_pool_2" as name:
            rows, columns, *rest = reader.integers(6)
            if min(rows, columns, *rest) < 0 or min(rest[:2]) < 1:
                raise unreadable("a pooling layer that does not fit together")
            return Pooling(name[:3], (rows, columns), (rest[0], rest[1]), (rest[2], rest[3]))
        case "add_prev_":
            return Add()
        case "fc_2":
            return _read_fully_connected(reader)
        case name:
            raise unreadable(f"the unknown layer {name[:40]!r}")


def _read_convolution(reader: DlibReader) -> Convolution:
    values = reader.tensor()
    filters, _, _, *rest = reader.integers(7)
    shape, bias_shape = reader.alias(), reader.alias()
    for _ in range(4):
        reader.real()  # factors of the learning rate and the weight decay
    fits = shape[0] == filters == math.prod(bias_shape) and math.prod(shape) + filters == values.size
    if not fits or min(shape) < 1 or min(rest[:2]) < 1 or min(rest[2:]) < 0:
        raise unreadable("a convolution that does not fit together")
    weights, biases = np.split(values, [values.size - filters])
    return Convolution(weights.reshape(shape), biases, (rest[0], rest[1]), (rest[2], rest[3]))


def _read_affine(reader: DlibReader) -> Affine:
    values = reader.tensor()
    reader.alias(), reader.alias(), reader.integer()  # where scale and shift lie, and the mode
    if values.size % 2:
        raise unreadable("an affine layer that does not fit together")
    scale, shift = np.split(values, 2)
    return Affine(scale, shift)


def _read_fully_connected(reader: DlibReader) -> FullyConnected:
    outputs, inputs = reader.integers(2)
    values = reader.tensor()
    reader.alias(), reader.alias(), reader.integer()  # where weights and biases lie, and the bias mode
    for _ in range(4):
        reader.real()  # factors of the learning rate and the weight decay
    if min(inputs, outputs) < 1 or inputs * outputs != values.size:
        raise unreadable("a last layer that does not fit together")
    return FullyConnected(values.reshape(inputs, outputs))


def _read_training_state(reader: DlibReader, *, innermost: bool) -> None:
    """Read what follows every layer's own data and matters in training alone."""
    reader.boolean(), reader.boolean(), reader.boolean()
    for _ in range(3):  # gradient, cached output, gradient of the parameters
        if reader.tensor().size:
            raise unreadable("a network that was saved in the middle of its training")
    if innermost:
        reader.expect("pictures a sample", 1)


def unreadable(what: str) -> SetupError:
    """Return the error of a file that is damaged or holds another network."""
    return SetupError(f"dlib's network: the file holds {what}. It is damaged, or not the network that this reads.")
