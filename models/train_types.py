"""Every element type, made by hand so that each output gives one input away: a value in the wrong place, or one that
went through the wrong type, shows. The predictions are computed by numpy from the stored values.
"""

from __future__ import annotations

import common  # first: sets the thread counts

from datetime import date, datetime, timezone

import numpy as np
from onnx import TensorProto as T
from onnx import helper, numpy_helper

from common import Feature, Table, pick, publish

EPOCH = date(1970, 1, 1)


def build(nodes, inputs, outputs, weights=()):
    graph = helper.make_graph(nodes, "model", [helper.make_tensor_value_info(*i) for i in inputs],
                              [helper.make_tensor_value_info(*o) for o in outputs],
                              [numpy_helper.from_array(w, n) for n, w in weights])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)])


# Input, column and its CQL type, manifest rules, element type, shape behind the batch, node, output column.
MIXED = [
    ("half", "half", "float", {"nonfinite": "reject"}, T.FLOAT16, [1], "Neg"),
    ("counted", "counted", "bigint", {}, T.FLOAT, [1], "Neg"),
    ("serial", "serial", "bigint", {"cast": "lossy"}, T.FLOAT, [], "Neg"),
    ("vast", "vast", "varint", {"cast": "float"}, T.DOUBLE, [1], "Neg"),
    ("fine", "fine", "double", {"null": "nan"}, T.DOUBLE, [], "Neg"),
    ("big", "big", "bigint", {"null": 0}, T.INT64, [1], "Identity"),
    ("small", "small", "int", {"null": -1}, T.INT32, [], "Neg"),
    ("tiny", "tiny", "tinyint", {}, T.INT32, [1], "Neg"),
    ("flag", "flag", "boolean", {"null": True}, T.BOOL, [1], "Not"),
    ("word", "word", "text", {"null": "?"}, T.STRING, [1], "Identity"),
    ("code", "code", "ascii", {}, T.STRING, [], "Identity"),
    ("born", "born", "date", {"as": "epoch_days"}, T.INT64, [1], "Neg"),
    ("seen_s", "seen", "timestamp", {"as": "epoch_s"}, T.INT64, [1], "Neg"),
    ("seen_ms", "seen", "timestamp", {"as": "epoch_ms"}, T.DOUBLE, [1], "Neg"),
]
NULLS = {"fine": float("nan"), "big": 0, "small": -1, "flag": True, "word": "?"}
CAST = {T.FLOAT16: np.float16, T.FLOAT: np.float32, T.DOUBLE: np.float64}


def mixed_rows() -> tuple[list[dict], dict[int, str]]:
    """Rows at the edges of each type first, then random ones; and why some must be rejected."""
    usual = {"half": np.float32(1.5), "counted": 7, "serial": 7, "vast": 7, "fine": 0.1, "big": 7, "small": 7, "tiny": 7,
             "flag": True, "word": "seven", "code": "7", "born": date(2007, 7, 7),
             "seen": datetime(2007, 7, 7, 7, 7, 7, tzinfo=timezone.utc)}
    edges = [
        {"half": np.float32(65504), "counted": 2**24, "serial": 2**24 + 1, "vast": 10**30, "fine": 1e308},
        {"half": np.float32(6e-8), "counted": -(2**24), "serial": -(2**53) - 1, "vast": -(2**80), "fine": 5e-324},
        {"half": np.float32(-0.0), "counted": 0, "serial": 2**63 - 1, "vast": 0, "fine": -0.0},
        {"half": np.float32(0.1), "fine": float("inf"), "big": 2**63 - 1, "small": 2**31 - 1, "tiny": 127},
        {"half": np.float32(3.14159), "fine": float("-inf"), "big": -(2**63), "small": -(2**31) + 1, "tiny": -128},
        {"fine": float("nan"), "word": "", "code": "", "flag": False}, {"word": "Zürich 東京 🙂", "fine": 1 / 3},
        {"word": ' "quoted", with\nline break ', "code": "a,b"}, {"word": "x" * 3000},
        {"born": date(1969, 12, 31), "seen": datetime(1969, 12, 31, 23, 59, 59, tzinfo=timezone.utc)},
        {"born": date(1, 1, 1), "seen": datetime(2262, 4, 11, 23, 47, 16, tzinfo=timezone.utc)},
        {"fine": None, "big": None, "small": None, "flag": None, "word": None},
    ]
    bad = [({"half": None}, "null"), ({"half": np.float32(65520)}, "beyond float16"), ({"half": np.float32("nan")}, "NaN"),
           ({"half": np.float32("inf")}, "infinite"), ({"counted": 2**24 + 1}, "not exact"),
           ({"counted": -(2**24) - 1}, "not exact"), ({"serial": None}, "null"), ({"vast": None}, "null"),
           ({"vast": 10**400}, "beyond double"), ({"tiny": None}, "null"), ({"code": None}, "null"),
           ({"born": None}, "null"), ({"seen": None}, "null")]
    chance = np.random.default_rng(11)
    random = [{"half": np.float32(chance.normal() * 10), "counted": int(chance.integers(-2**24, 2**24)),
               "serial": int(chance.integers(-2**60, 2**60)), "vast": int(chance.integers(0, 2**62)) ** 3,
               "fine": float(chance.normal()), "big": int(chance.integers(-2**62, 2**62)),
               "small": int(chance.integers(-2**30, 2**30)), "tiny": int(chance.integers(-128, 128)),
               "flag": bool(chance.integers(2)), "word": f"word {chance.integers(1000)}", "code": f"{chance.integers(1000)}",
               "born": date.fromordinal(int(chance.integers(700_000, 740_000))),
               "seen": datetime.fromtimestamp(int(chance.integers(0, 2**31)), timezone.utc)} for _ in range(60)]
    rows = edges + [values for values, _ in bad] + random
    reasons = {len(edges) + i: why for i, (_, why) in enumerate(bad)}
    return [{"id": i + 1} | usual | values for i, values in enumerate(rows)], reasons


def fed(row: dict, name: str, column: str, rules: dict, kind: int):
    """The value in the tensor, as Python's own or numpy's scalar."""
    value = row[column] if row[column] is not None else NULLS[name]
    if isinstance(value, datetime):
        seconds = int(value.timestamp())
        value = seconds if rules["as"] == "epoch_s" else seconds * 1000
    elif isinstance(value, date):
        value = (value - EPOCH).days
    if kind in CAST and isinstance(value, int) and abs(value) < 2**63:
        return np.int64(value).astype(CAST[kind])  # one rounding, not two by way of a double
    return CAST[kind](value) if kind in CAST else value


def mixed() -> None:
    rows, reasons = mixed_rows()
    nodes = [helper.make_node(op, [name], [f"{name}_out"]) for name, *_, op in MIXED]
    inputs = [(name, kind, ["N", *shape]) for name, _, _, _, kind, shape, _ in MIXED]
    outputs = [(f"{name}_out", kind, ["N", *shape]) for name, _, _, _, kind, shape, _ in MIXED]
    turn = {"Neg": lambda v: -v, "Identity": lambda v: v, "Not": lambda v: not v}
    answers, seen = [], []
    for i, row in enumerate(rows):
        if i in reasons:
            answers.append(None), seen.append(None)
            continue
        values = [fed(row, name, column, rules, kind) for name, column, _, rules, kind, _, _ in MIXED]
        seen.append([float(v) if kind == T.FLOAT16 else v for v, (_, _, _, _, kind, _, _) in zip(values, MIXED)])
        answers.append([float(-v) if kind in CAST else turn[op](v) for v, (*_, kind, _, op) in zip(values, MIXED)])
    columns = {"id": "bigint"} | {column: cql for _, column, cql, *_ in MIXED}
    ready = [i for i in range(len(rows)) if i not in reasons]
    chosen = [ready[j] for j in pick(len(ready), 30)]
    heads = [f"in.{name}" for name, *_ in MIXED] + [f"out.{name}_out" for name, *_ in MIXED]
    publish("types_mixed", build(nodes, inputs, outputs), Table("mixtures", columns), rows,
            features=[Feature(name, column, rules) for name, column, _, rules, *_ in MIXED], outputs={"nan": "allow"},
            columns={f"{name}_back": {"output": f"{name}_out"} for name, *_ in MIXED},
            expected=[f"{name}_back" for name, *_ in MIXED], predictions=answers,
            golden=(heads, [seen[i] + answers[i] for i in chosen]),
            tolerance=(0.0, 0.0, "Nothing is computed: every value must come back as it went in, negated."))


def wide() -> None:
    """Four wide inputs, one of rank 3; feature names are one list, input after input."""
    names = ["a0", "a1", "a2", "b0", "b1", "c0", "c1", "d00", "d01", "d10", "d11"]
    nodes = [helper.make_node("Cast", ["B"], ["b_float"], to=T.FLOAT), helper.make_node("Reshape", ["D", "four"], ["d_flat"]),
             helper.make_node("Concat", ["A", "b_float", "d_flat"], ["joined"], axis=1),
             helper.make_node("Gather", ["C", "zero"], ["first"], axis=1), helper.make_node("Gather", ["C", "last"], ["second"], axis=1)]
    model = build(nodes, [("A", T.FLOAT, ["N", 3]), ("B", T.INT64, ["N", 2]), ("C", T.STRING, ["N", 2]), ("D", T.FLOAT, ["N", 2, 2])],
                  [("joined", T.FLOAT, ["N", 9]), ("first", T.STRING, ["N"]), ("second", T.STRING, ["N", 1])],
                  [("four", np.array([-1, 4])), ("zero", np.array(0)), ("last", np.array([1]))])
    types = {n: "bigint" if n[0] == "b" else "text" if n[0] == "c" else "float" for n in names}
    chance, rows, answers = np.random.default_rng(12), [], []
    for i in range(120):
        row = {n: f"{n}.{i}" if n[0] == "c" else int(chance.integers(-999, 999)) if n[0] == "b"
               else np.float32(round(chance.normal(), 3)) for n in names}
        rows.append({"id": i + 1} | row)
        numbers = [float(row[n]) for n in names if n[0] != "c"]
        answers.append([numbers, row["c0"], row["c1"]])
    golden = [[rows[i][n] for n in names] + answers[i][0] + answers[i][1:] for i in pick(120)]
    publish("types_wide", model, Table("widths", {"id": "int", **types}), rows, feature_names=names,
            columns={n: {"output": n} for n in ("joined", "first", "second")}, expected=["joined", "first", "second"],
            predictions=answers, golden=([f"in.{n}" for n in names] + [f"out.joined[{i}]" for i in range(9)]
                                         + ["out.first", "out.second"], golden),
            tolerance=(0.0, 0.0, "Nothing is computed."))


def places() -> None:
    """One wide input filled by a number, a vector and a list; batches of exactly four (a tail of three is padded)."""
    model = build([helper.make_node("Add", ["X", "place"], ["echo"])], [("X", T.FLOAT, [4, 8])], [("echo", T.FLOAT, [4, 8])],
                  [("place", np.arange(8, dtype=np.float32) * 1000)])
    chance, rows, answers, golden = np.random.default_rng(13), [], [], []
    for i in range(51):
        numbers = np.float32(np.round(chance.normal(size=8), 2))
        rows.append({"id": i + 1, "weight": float(str(numbers[0])), "shape": list(numbers[1:4]),
                     "tail": [float(str(v)) for v in numbers[4:]]})
        echo = [float(v) for v in numbers + np.arange(8, dtype=np.float32) * 1000]
        answers.append([echo])
        golden.append(list(numbers) + echo)
    for i, tail in ((9, []), (10, [1.0, 2.0, 3.0]), (11, [1.0, 2.0, 3.0, 4.0, 5.0]), (12, None)):
        rows[i]["tail"], answers[i] = tail, None
    rows[13]["shape"], answers[13] = None, None
    publish("types_places", model,
            Table("places", {"id": "int", "weight": "double", "shape": "vector<float, 3>", "tail": "frozen<list<double>>"}), rows,
            features=[Feature("weight", "weight"), Feature("shape", "shape", {"width": 3}), Feature("tail", "tail", {"width": 4})],
            wide={"X": ["weight", "shape", "tail"]}, expected=["echo"], predictions=answers,
            golden=([f"in.X[{i}]" for i in range(8)] + [f"out.echo[{i}]" for i in range(8)], golden[:30]))


if __name__ == "__main__":
    mixed()
    wide()
    places()
