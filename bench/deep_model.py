#!/usr/bin/env python3
"""A multilayer perceptron with random weights of about so many MiB: bench/deep_model.py MIB FILE"""

import sys

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

WIDTH = 2048


def main():
    mib, file = int(sys.argv[1]), sys.argv[2]
    random = np.random.default_rng(1)
    layers = max(1, round(mib * 2**20 / (4 * WIDTH * WIDTH)))
    widths = [30] + [WIDTH] * (layers + 1) + [2]
    nodes, weights, last = [helper.make_node("Tanh", ["X"], ["a0"])], [], "a0"
    for at, (width, following) in enumerate(zip(widths, widths[1:])):
        # Glorot's scale keeps activations in range through all layers.
        matrix = random.normal(0, (2 / (width + following)) ** 0.5, (width, following)).astype(np.float32)
        weights.append(numpy_helper.from_array(matrix, f"w{at}"))
        nodes.append(helper.make_node("MatMul", [last, f"w{at}"], [f"m{at}"]))
        is_last = at == len(widths) - 2
        last = "probabilities" if is_last else f"a{at + 1}"
        nodes.append(helper.make_node("Softmax", [f"m{at}"], [last], axis=1) if is_last else helper.make_node("Tanh", [f"m{at}"], [last]))
    graph = helper.make_graph(
        nodes,
        "deep",
        [helper.make_tensor_value_info("X", TensorProto.FLOAT, [None, 30])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, [None, 2])],
        weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)], ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, file)


if __name__ == "__main__":
    main()
