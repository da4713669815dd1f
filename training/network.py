"""Writing the small networks that we train as ONNX files."""

from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

OPSET = 17


def save_mlp(
    path: Path, layers: list[tuple[NDArray[np.float32], NDArray[np.float32]]], *, scale: float, shift: float
) -> None:
    """Write a multi-layer perceptron with ReLU between its layers.

    Args:
        path: The ONNX file to write.
        layers: Weights (inputs, outputs) and biases (outputs,) of each layer.
        scale: What the last output is multiplied by; folded into the last layer.
        shift: What is added to it then; likewise.
    """
    last_weights, last_bias = layers[-1]
    layers = [*layers[:-1], (last_weights * scale, last_bias * scale + shift)]
    nodes, initialisers, name = [], [], "embeddings"
    for i, (weights, bias) in enumerate(layers):
        for kind, array in (("weights", weights), ("bias", bias)):
            initialisers.append(numpy_helper.from_array(np.ascontiguousarray(array, np.float32), f"{kind}{i}"))
        output = "impostor_levels" if i == len(layers) - 1 else f"layer{i}"
        nodes.append(helper.make_node("Gemm", [name, f"weights{i}", f"bias{i}"], [output]))
        if i < len(layers) - 1:
            nodes.append(helper.make_node("Relu", [output], [f"active{i}"]))
        name = f"active{i}"
    inputs, outputs = layers[0][0].shape[0], layers[-1][0].shape[1]
    graph = helper.make_graph(
        nodes,
        "impostor_level",
        [helper.make_tensor_value_info("embeddings", TensorProto.FLOAT, ["n", inputs])],
        [helper.make_tensor_value_info("impostor_levels", TensorProto.FLOAT, ["n", outputs])],
        initialisers,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8)
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())
