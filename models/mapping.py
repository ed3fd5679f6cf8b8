"""A row of the source table as tensors: the job's features, casts, null and text rules, one row at a time.

The rules are those of the job manifest. Slow on purpose: it is what the committed predictions were held against.
"""

from __future__ import annotations

import json
import math
import unicodedata
from datetime import date, datetime
from decimal import Decimal

import numpy as np
import onnx

from folder import Folder

NUMPY = {onnx.TensorProto.FLOAT: np.float32, onnx.TensorProto.DOUBLE: np.float64, onnx.TensorProto.FLOAT16: np.float16,
         onnx.TensorProto.INT64: np.int64, onnx.TensorProto.INT32: np.int32, onnx.TensorProto.BOOL: np.bool_,
         onnx.TensorProto.STRING: np.object_}
EXACT = {np.float16: 2**11, np.float32: 2**24, np.float64: 2**53}


class Rejected(Exception):
    """The row can't be scored; the message is the reason."""


def inputs_of(model: onnx.ModelProto) -> dict[str, tuple[type, list[int]]]:
    """Input name -> element type and the shape behind the batch dimension."""
    weights = {tensor.name for tensor in model.graph.initializer}
    found = {}
    for value in model.graph.input:
        if value.name not in weights:
            tensor = value.type.tensor_type
            found[value.name] = (NUMPY[tensor.elem_type], [d.dim_value for d in tensor.shape.dim[1:]])
    return found


def plan(folder: Folder, model: onnx.ModelProto) -> dict[str, list[tuple[str, dict]]]:
    """Input name -> its features in order, each with its column and rules."""
    given = folder.job.get("features")
    stored = folder.feature_names
    for entry in model.metadata_props:
        if entry.key == "helenus.features":
            stored = json.loads(entry.value)
    layout = {}
    for name, (_, shape) in inputs_of(model).items():
        width = math.prod(shape)
        if "wide" in folder.job and name in folder.job["wide"]:
            layout[name] = folder.job["wide"][name]["order"]
        elif width == 1:
            layout[name] = [name]
        else:  # one list for all wide inputs, in the file's order
            layout[name], stored = stored[:width], stored[width:]
    result = {}
    for tensor, names in layout.items():
        result[tensor] = []
        for name in names:
            rule = given[name] if given is not None else "".join(c if c.isalnum() else "_" for c in name.lower())
            rule = {"column": rule} if isinstance(rule, str) else rule
            assert rule["column"] in folder.columns, f"no column {rule['column']}"
            result[tensor].append((name, rule))
    if given is not None:
        assert set(given) == {name for names in layout.values() for name in names}, "features differ from the model's"
    return result


def tensors(row: dict, layout, signature) -> dict[str, np.ndarray]:
    """One row's inputs, each of batch size 1. Raises Rejected."""
    result = {}
    for name, features in layout.items():
        kind, shape = signature[name]
        places = []
        for feature, rule in features:
            value = row[rule["column"]]
            width = rule.get("width")
            if width is None:
                places.append(cast(feature, value, kind, rule))
            else:
                if value is None or len(value) != width:
                    raise Rejected(f"{feature}: {'null' if value is None else len(value)} instead of {width} values")
                places += [cast(feature, item, kind, rule) for item in value]
        result[name] = np.array(places, dtype=kind).reshape([1, *shape])
    return result


def cast(feature: str, value, kind: type, rule: dict):
    """One value as an element of a tensor."""
    if value is None:
        value = rule.get("null", "reject")
        if value == "reject":
            raise Rejected(f"{feature}: null")
        if value == "nan" and kind in EXACT:
            return kind("nan")
    if isinstance(value, str):
        assert kind is np.object_, f"{feature}: text into {kind}"
        rules = rule.get("text", "raw")
        value = value.strip() if "trim" in rules else value
        value = unicodedata.normalize("NFC", value) if "nfc" in rules else value
        return value.lower() if "lower" in rules else value
    if isinstance(value, datetime):
        seconds = value.timestamp()
        value = {"epoch_s": lambda: math.floor(seconds), "epoch_ms": lambda: round(seconds * 1000),
                 "epoch_days": lambda: math.floor(seconds / 86400)}[rule["as"]]()
    elif isinstance(value, date):
        days = (value - date(1970, 1, 1)).days
        value = days * {"epoch_s": 86400, "epoch_ms": 86_400_000, "epoch_days": 1}[rule["as"]]
    if kind is np.bool_:
        assert isinstance(value, bool)
        return value
    if kind in EXACT:
        return to_float(feature, value, kind, rule)
    assert isinstance(value, int), f"{feature}: a fraction into an integer tensor"
    if not np.iinfo(kind).min <= value <= np.iinfo(kind).max:
        raise Rejected(f"{feature}: {value} does not fit")
    return kind(value)


def to_float(feature: str, value, kind: type, rule: dict):
    if isinstance(value, Decimal):
        assert "cast" in rule, f"{feature}: decimal without cast"
    elif isinstance(value, int):
        if abs(value) > EXACT[kind] and "cast" not in rule:
            raise Rejected(f"{feature}: {value} is not exact in {kind.__name__}")
    if isinstance(value, (float, np.floating)) and not math.isfinite(value):
        if rule.get("nonfinite") == "reject":
            raise Rejected(f"{feature}: not finite")
        return kind(value)
    with np.errstate(over="ignore"):
        try:  # from 64 bits in one rounding: by way of a double there would be two
            result = np.int64(value).astype(kind) if isinstance(value, int) and abs(value) < 2**63 else kind(float(value))
        except OverflowError:
            result = kind("inf")
    if math.isinf(result):
        raise Rejected(f"{feature}: {value} overflows {kind.__name__}")
    return result
