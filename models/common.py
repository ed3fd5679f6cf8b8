"""Writes one model folder: the ONNX file, its source table, data, job and what it should predict.

Every training script ends in `publish`. Values handed over are Python's own; the column's CQL type decides how each
is written, so what stands in `data.csv` is what Cassandra would store.
"""

from __future__ import annotations

import json
import math
import os
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path

# Reproducible sums: libraries that pick a thread count by machine would otherwise change the last bits of a model.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import numpy as np
import onnx

ROOT = Path(__file__).resolve().parent
SEED = 20240
OPSET = {"": 15, "ai.onnx.ml": 3}
IR_VERSION = 8


@dataclass(frozen=True)
class Feature:
    """A feature as the model names it, the column that feeds it, and the manifest's rules (cast, null, text, as, width)."""

    name: str
    column: str
    rules: dict = field(default_factory=dict)


@dataclass(frozen=True)
class Table:
    """A source table: columns with their CQL types, key columns included, in order of creation."""

    name: str
    columns: dict[str, str]
    primary_key: str = "id"
    key: tuple[str, ...] = ("id",)
    clustering: str = ""

    def create(self) -> str:
        body = ",\n".join(f"    {identifier(name)} {cql}" for name, cql in self.columns.items())
        order = f"\nWITH CLUSTERING ORDER BY ({self.clustering})" if self.clustering else ""
        return (f"CREATE TABLE {{keyspace}}.{identifier(self.name)} (\n{body},\n"
                f"    PRIMARY KEY ({self.primary_key})\n){order};\n")


def identifier(name: str) -> str:
    """A CQL identifier, quoted where Cassandra would otherwise fold its case or refuse it."""
    plain = name.isascii() and name.replace("_", "a").isalnum() and name == name.lower() and not name[0].isdigit()
    return name if plain else '"' + name.replace('"', '""') + '"'


def number(value: float, cql: str = "double") -> str:
    """The shortest decimal that reads back as the same value of the type."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "inf" if value > 0 else "-inf"
    return str(np.float32(value)) if cql == "float" else repr(float(value))


def literal(value, cql: str = "double") -> str:
    """A value as a CQL literal without quotes; None never comes here."""
    if isinstance(value, (list, tuple, np.ndarray)):
        inner = "float" if "float" in cql else "double" if "double" in cql else "int"
        return "[" + ", ".join(literal(item, inner) for item in value) + "]"
    if isinstance(value, (bool, np.bool_)):
        return "true" if value else "false"
    if isinstance(value, (int, np.integer)):
        return str(int(value))
    if isinstance(value, (float, np.floating)):
        return number(value, "float" if isinstance(value, np.float32) else cql)
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%dT%H:%M:%S.") + f"{value.microsecond // 1000:03d}Z"
    if isinstance(value, date):
        return value.isoformat()
    return str(value)


def csv_field(value, cql: str = "double") -> str:
    """RFC 4180, with null as an empty unquoted field and empty text as `""`."""
    if value is None:
        return ""
    text = literal(value, cql)
    quoted = text == "" or text != text.strip() or any(mark in text for mark in ',"\r\n')
    return '"' + text.replace('"', '""') + '"' if quoted else text


def write_csv(path: Path, header: list[str], rows, types: list[str] | None = None) -> None:
    types = types or ["double"] * len(header)
    lines = [",".join(csv_field(name) for name in header)]
    for row in rows:
        assert len(row) == len(header), (path, header, row)
        lines.append(",".join(csv_field(value, cql) for value, cql in zip(row, types)))
    path.write_bytes(("\n".join(lines) + "\n").encode())


def toml_value(value) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(toml_value(item) for item in value) + "]"
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{toml_key(k)} = {toml_value(v)}" for k, v in value.items()) + " }"
    return json.dumps(value, ensure_ascii=False)


def toml_key(name: str) -> str:
    bare = name.isascii() and name.replace("_", "a").replace("-", "a").isalnum()
    return name if bare else json.dumps(name, ensure_ascii=False)


def manifest(name: str, table: Table, features, wide, outputs, columns) -> str:
    """`features` None leaves the section out; `wide` is input -> order; `columns` is prediction column -> its source."""
    lines = [f'job = "{name}"', f'model = "{name}"', "versions = [1]", "", "[source]",
             f'table = "{{keyspace}}.{table.name}"']
    if features is not None:
        lines += ["", "[features]"]
        for feature in features:
            target = {"column": feature.column, **feature.rules} if feature.rules else feature.column
            lines.append(f"{toml_key(feature.name)} = {toml_value(target)}")
    for tensor, order in (wide or {}).items():
        lines += ["", f"[wide.{toml_key(tensor)}]", "for_versions = [1]", f"order = {toml_value(order)}"]
    if outputs:
        lines += ["", "[outputs]"] + [f"{toml_key(k)} = {toml_value(v)}" for k, v in outputs.items()]
    if columns:
        lines += ["", "[outputs.columns]"] + [f"{toml_key(k)} = {toml_value(v)}" for k, v in columns.items()]
    return "\n".join(lines) + "\n"


def settle(model: onnx.ModelProto, metadata: dict[str, str] | None = None) -> onnx.ModelProto:
    """Drops what differs from one export to the next (random graph names, dates) and pins the IR version."""
    model.graph.name = "model"
    model.graph.doc_string = model.doc_string = ""
    model.ir_version = min(model.ir_version, IR_VERSION)
    opsets = sorted(model.opset_import, key=lambda entry: entry.domain)
    del model.opset_import[:]
    model.opset_import.extend(opsets)
    del model.metadata_props[:]
    for key, value in (metadata or {}).items():
        model.metadata_props.add(key=key, value=value)
    return model


def publish(name: str, model: onnx.ModelProto, table: Table, rows: list[dict], *, features: list[Feature] | None = None,
            feature_names: list[str] | None = None, metadata: dict[str, str] | None = None,
            wide: dict[str, list[str]] | None = None, outputs: dict | None = None, columns: dict | None = None,
            expected: list[str], predictions: list[list | None], golden: tuple[list[str], list[list]],
            tolerance: tuple[float, float, str] | None = None) -> None:
    """Writes models/<name>/.

    `predictions` holds, for every row, the values of the `expected` columns, or None where the row must be rejected.
    `golden` is a header and its rows in the contract's golden-row format. `tolerance` is (rtol, atol, why).
    """
    folder = ROOT / name
    folder.mkdir(exist_ok=True)
    assert len(rows) == len(predictions) and len(golden[1]) >= 20, name
    onnx.checker.check_model(settle(model, metadata))
    (folder / "model.onnx").write_bytes(model.SerializeToString(deterministic=True))
    (folder / "source.cql").write_text(table.create())
    names, types = list(table.columns), list(table.columns.values())
    write_csv(folder / "data.csv", names, [[row[c] for c in names] for row in rows], types)
    (folder / "job.toml").write_text(manifest(name, table, features, wide, outputs, columns))

    key, key_types = list(table.key), [table.columns[k] for k in table.key]
    rejects = any(p is None for p in predictions)
    body = []
    for row, prediction in zip(rows, predictions):
        values = [None] * len(expected) if prediction is None else list(prediction)
        body.append([row[k] for k in key] + values + ([prediction is None] if rejects else []))
    write_csv(folder / "expected.csv", key + expected + (["rejected"] if rejects else []), body,
              key_types + ["double"] * (len(expected) + rejects))
    write_csv(folder / "golden.csv", *golden)
    for file, text in (("features.txt", feature_names and "\n".join(feature_names) + "\n"),
                       ("tolerance.toml", tolerance and f"# {tolerance[2]}\nrtol = {tolerance[0]}\natol = {tolerance[1]}\n")):
        if text:
            (folder / file).write_text(text)
        else:
            (folder / file).unlink(missing_ok=True)
    print(f"{name}: {len(rows)} rows, {(folder / 'model.onnx').stat().st_size:,} bytes")


def float32(matrix) -> np.ndarray:
    """What a `float` column stores, as doubles: libraries train and predict on exactly what Cassandra gives back."""
    return np.asarray(matrix, dtype=np.float32).astype(np.float64)


def pick(count: int, wanted: int = 24, seed: int = SEED) -> np.ndarray:
    """Row numbers of the golden rows, in order."""
    return np.sort(np.random.default_rng(seed).choice(count, size=wanted, replace=False))


def golden_of(names: list[str], matrix, heads: list[str], results: list[list]) -> tuple[list[str], list[list]]:
    """Golden rows of one wide float input: `names` are features, or `X[0]` where the model has no names."""
    return (["in." + n for n in names] + ["out." + h for h in heads],
            [[np.float32(v) for v in row] + list(result) for row, result in zip(matrix, results)])
