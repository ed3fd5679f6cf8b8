"""Short words for building small graphs, without the checks that would refuse them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from onnx import ModelProto
from onnx import TensorProto as T
from onnx import helper, numpy_helper

node = helper.make_node
info = helper.make_tensor_value_info
FLOAT_IN = info("X", T.FLOAT, ["N", 2])
FLOAT_OUT = info("Y", T.FLOAT, ["N", 2])


def model(nodes, inputs=(FLOAT_IN,), outputs=(FLOAT_OUT,), weights=(), opset: int = 15, domains=None) -> ModelProto:
    """A model of IR version 8 with `X` in and `Y` out, both [N, 2] floats, unless told otherwise."""
    graph = helper.make_graph(nodes, "model", list(inputs), list(outputs), list(weights))
    opsets = [helper.make_opsetid("", opset)] + [helper.make_opsetid(d, v) for d, v in (domains or {}).items()]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def constant(name: str, value) -> T:
    return numpy_helper.from_array(np.asarray(value), name)


def external(name: str, location: str) -> T:
    """Two floats that stand in another file."""
    tensor = T(name=name, data_type=T.FLOAT, dims=[2], data_location=T.EXTERNAL)
    for key, value in (("location", location), ("offset", "0"), ("length", "8")):
        tensor.external_data.add(key=key, value=value)
    return tensor


def write(path: Path, made) -> None:
    path.write_bytes(made if isinstance(made, bytes) else made.SerializeToString(deterministic=True))
