"""Changes to ONNX graphs: exact thresholds of trees, declared types, names, metadata."""

from __future__ import annotations

import math
from contextlib import contextmanager
from typing import Any, Iterator, Mapping

import numpy as np

#: Attributes of tree ensembles that can be tensors of doubles.
DOUBLES = ("nodes_values", "nodes_hitrates", "target_weights", "base_values")
IR_VERSION = 10


@contextmanager
def exact_numbers(pipeline: Any, double: bool, imputed: dict[str, list[float]]) -> Iterator[None]:
    """While skl2onnx makes nodes: attributes of trees become plain numbers, and thresholds stay what the library compares.
    `imputed` receives the doubles that an Imputer puts in place of NaN, by its node's name.

    With `double`, thresholds and leaves are stored as doubles. Otherwise LightGBM's and HistGradientBoosting's thresholds,
    which are doubles, are rounded down to float32: this decides the same for every float32 value, rounding to nearest does not.
    """
    import skl2onnx.common._container as container

    from .families import last, name, parts

    original = container.make_node
    final = last(pipeline)
    means = [np.asarray(part.statistics_) for part in parts(pipeline) if name(part) == "SimpleImputer"]

    def make_node(op_type: str, inputs: Any, outputs: Any, **attributes: Any) -> Any:
        if op_type.startswith("TreeEnsemble"):
            attributes = {key: _plain(value) for key, value in attributes.items()}
            values = attributes.get("nodes_values")
            if values is not None:
                attributes["nodes_values"] = _thresholds(final, attributes, double)
            if double:
                _as_doubles(attributes)
        elif op_type == "Imputer" and attributes.get("imputed_value_floats") is not None:
            if math.isnan(float(attributes.get("replaced_value_float", math.nan))):
                imputed[attributes["name"]] = _imputed(attributes["imputed_value_floats"], means)
        return original(op_type, inputs, outputs, **attributes)

    container.make_node = make_node
    try:
        yield
    finally:
        container.make_node = original


def _imputed(rounded: Any, means: list[Any]) -> list[float]:
    """The exporter rounds imputed values to float32; the imputer that they are of has the doubles."""
    rounded = np.asarray(rounded, dtype=np.float32)
    for values in means:
        if values.dtype.kind == "f" and np.array_equal(values.astype(np.float32), rounded, equal_nan=True):
            return [float(value) for value in values]
    return [float(value) for value in rounded]


def _plain(value: Any) -> Any:
    """numpy's scalars and booleans as Python's numbers, which protobuf takes."""
    if isinstance(value, np.ndarray) and value.ndim == 1:
        value = value.tolist()
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, (list, tuple)):
        items = [item.item() if isinstance(item, np.generic) else item for item in value]
        return [int(item) if isinstance(item, bool) else item for item in items]
    return value


def _thresholds(final: Any, attributes: dict[str, Any], double: bool) -> list[float]:
    from .convert import floor32

    values: list[float] = attributes["nodes_values"]
    kind = type(final).__name__
    if kind.startswith("HistGradientBoosting"):
        values = _histogram_thresholds(final, attributes)
    if not double and kind.startswith(("LGBM", "HistGradientBoosting")):
        values = [floor32(value) for value in values]
    return values


def _histogram_thresholds(final: Any, attributes: dict[str, Any]) -> list[float]:
    """skl2onnx rounds the thresholds of HistGradientBoosting to float32 before they get here: the estimator has the doubles."""
    trees = [tree for stage in final._predictors for tree in stage]
    # The exporter goes over stages and their trees in this order, and numbers the trees so.
    found = []
    for tree, node, value, mode in zip(
        attributes["nodes_treeids"], attributes["nodes_nodeids"], attributes["nodes_values"], attributes["nodes_modes"]
    ):
        exact = float(trees[tree].nodes[node]["num_threshold"]) if node < len(trees[tree].nodes) else value
        near = math.isclose(exact, value, rel_tol=1e-6, abs_tol=1e-30) or exact == value
        found.append(exact if mode != "LEAF" and near else value)
    return found


def _as_doubles(attributes: dict[str, Any]) -> None:
    from onnx import numpy_helper

    for name in DOUBLES:
        if attributes.get(name):
            values = np.asarray(attributes.pop(name), dtype=np.float64)
            attributes[f"{name}_as_tensor"] = numpy_helper.from_array(values, name)
    weights = attributes.get("class_weights")
    if weights:
        values = np.asarray(attributes.pop("class_weights"), dtype=np.float64)
        attributes["class_weights_as_tensor"] = numpy_helper.from_array(values, "class_weights")


def impute_doubles(model: Any, imputed: Mapping[str, list[float]]) -> None:
    """Puts `x if x is a number else the imputed value` in place of Imputers, which ONNX Runtime has for floats only."""
    from onnx import helper, numpy_helper

    nodes = list(model.graph.node)
    changed = []
    for node in nodes:
        values = imputed.get(node.name) if node.op_type == "Imputer" else None
        if values is None:
            changed.append(node)
            continue
        output = node.output[0]
        constant = numpy_helper.from_array(np.array([values], dtype=np.float64), f"{output}_imputed")
        model.graph.initializer.append(constant)
        changed += [
            helper.make_node("IsNaN", [node.input[0]], [f"{output}_missing"]),
            helper.make_node("Where", [f"{output}_missing", constant.name, node.input[0]], [output]),
        ]
    if len(changed) != len(nodes):
        del model.graph.node[:]
        model.graph.node.extend(changed)


def declare_tree_outputs(model: Any) -> None:
    """Trees give floats whatever they are fed; exporters declare doubles for doubles, which ONNX Runtime refuses."""
    from onnx import TensorProto

    floats = set()
    for node in model.graph.node:
        if node.op_type == "TreeEnsembleRegressor":
            floats.add(node.output[0])
        elif node.op_type == "TreeEnsembleClassifier":
            floats.add(node.output[1])
        elif node.op_type in ("Identity", "Reshape", "Flatten", "Squeeze", "Unsqueeze") and node.input[0] in floats:
            floats.add(node.output[0])
    if not floats:
        return
    del model.graph.value_info[:]
    for output in model.graph.output:
        if output.name in floats:
            output.type.tensor_type.elem_type = TensorProto.FLOAT
    for opset in model.opset_import:
        if opset.domain == "ai.onnx.ml":
            opset.version = max(opset.version, 3)  # tensors of doubles


def give_floats(model: Any) -> None:
    """Casts double outputs to float, so that versions of all kinds have the same output types and fit one job's table."""
    from onnx import TensorProto, helper

    graph = model.graph
    names = set()
    for output in graph.output:
        kind = output.type
        if kind.HasField("tensor_type") and kind.tensor_type.elem_type == TensorProto.DOUBLE:
            kind.tensor_type.elem_type = TensorProto.FLOAT
            names.add(output.name)
        elif kind.HasField("sequence_type") and kind.sequence_type.elem_type.tensor_type.elem_type == TensorProto.DOUBLE:
            made = [node for node in graph.node if node.op_type == "SequenceConstruct" and node.output[0] == output.name]
            if made:
                kind.sequence_type.elem_type.tensor_type.elem_type = TensorProto.FLOAT
                names.update(made[0].input)
    if not names:
        return
    del graph.value_info[:]
    nodes = []
    for node in list(graph.node):
        if node.op_type != "SequenceConstruct":
            for at, name in enumerate(node.input):
                if name in names:
                    node.input[at] = f"{name}_double"
        made_here = [at for at, name in enumerate(node.output) if name in names]
        casts = []
        for at in made_here:
            name = node.output[at]
            node.output[at] = f"{name}_double"
            casts.append(helper.make_node("Cast", [f"{name}_double"], [name], to=TensorProto.FLOAT))
        nodes += [node, *casts]
    del graph.node[:]
    graph.node.extend(nodes)


def rename_output(model: Any, old: str, new: str) -> None:
    for entry in model.graph.output:
        if entry.name == old:
            entry.name = new
    for node in model.graph.node:
        for names in (node.input, node.output):
            for at, name in enumerate(names):
                if name == old:
                    names[at] = new


def settle(model: Any, metadata: Mapping[str, str]) -> None:
    """Drops what differs from one export to the next, so that the same pipeline gives the same bytes; adds the metadata."""
    model.graph.name = "model"
    model.graph.doc_string = model.doc_string = ""
    model.ir_version = min(model.ir_version, IR_VERSION)
    opsets = sorted(model.opset_import, key=lambda entry: entry.domain)
    del model.opset_import[:]
    model.opset_import.extend(opsets)
    del model.metadata_props[:]
    for key, value in metadata.items():
        model.metadata_props.add(key=key, value=value)


def rename_input(model: Any, old: str, new: str) -> None:
    for entry in model.graph.input:
        if entry.name == old:
            entry.name = new
    for node in model.graph.node:
        for at, name in enumerate(node.input):
            if name == old:
                node.input[at] = new


def align(one: Any, two: Any) -> None:
    """Gives two models the same opsets, as far as both have them, and the same IR version: merging needs that."""
    versions: dict[str, int] = {}
    for model in (one, two):
        for opset in model.opset_import:
            versions[opset.domain] = max(versions.get(opset.domain, 0), opset.version)
    for model in (one, two):
        for opset in model.opset_import:
            opset.version = versions[opset.domain]
    one.ir_version = two.ir_version = max(one.ir_version, two.ir_version)
