"""Reads one model folder back: schema, CSV and job, knowing nothing of the script that wrote them."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from datetime import date, datetime, timezone
from decimal import Decimal
from pathlib import Path

import numpy as np


@dataclass(frozen=True)
class Folder:
    """`columns` is name -> CQL type; each row of `rows` and `expected` is name -> value, None for null."""

    path: Path
    job: dict
    columns: dict[str, str]
    key: list[str]
    rows: list[dict]
    expected_header: list[str]
    expected: list[dict]
    golden_header: list[str]
    golden: list[list[str | None]]
    feature_names: list[str] | None
    rtol: float
    atol: float


def read(path: Path) -> Folder:
    columns, key = schema((path / "source.cql").read_text())
    header, body = csv((path / "data.csv").read_text())
    rows = [{name: None if text is None else parse(text, columns[name]) for name, text in zip(header, line)}
            for line in body]
    assert header == list(columns), f"{path}: data.csv's header differs from source.cql"
    expected_header, answers = csv((path / "expected.csv").read_text())
    golden_header, golden = csv((path / "golden.csv").read_text())
    features, tolerance = path / "features.txt", path / "tolerance.toml"
    limits = tomllib.loads(tolerance.read_text()) if tolerance.exists() else {}
    return Folder(path, tomllib.loads((path / "job.toml").read_text()), columns, key, rows, expected_header,
                  [dict(zip(expected_header, line)) for line in answers], golden_header, golden,
                  features.read_text().splitlines() if features.exists() else None,
                  limits.get("rtol", 1e-5), limits.get("atol", 1e-6))


def schema(statement: str) -> tuple[dict[str, str], list[str]]:
    """Columns and key of the one CREATE TABLE that a `source.cql` holds, as the scripts write it: a column a line."""
    columns = {}
    for line in statement.splitlines()[1:]:
        found = re.fullmatch(r'    ("(?:[^"]|"")+"|\w+) (.+?),?', line)
        if found and not line.lstrip().startswith("PRIMARY KEY"):
            columns[unquote(found[1])] = found[2]
    inside = re.search(r"PRIMARY KEY \((.*)\)$", statement, re.M)[1]
    return columns, [unquote(name) for name in re.findall(r'"(?:[^"]|"")+"|\w+', inside)]


def unquote(name: str) -> str:
    return name[1:-1].replace('""', '"') if name.startswith('"') else name


def csv(text: str) -> tuple[list[str], list[list[str | None]]]:
    """RFC 4180, where an empty unquoted field is None and a quoted one is text (the csv module can't tell them apart)."""
    rows, row, at = [], [], 0
    while at < len(text):
        if text[at] == '"':
            value, at = "", at + 1
            while True:
                end = text.index('"', at)
                value += text[at:end]
                at = end + 1
                if text[at:at + 1] != '"':
                    break
                value, at = value + '"', at + 1
        else:
            end = re.compile(r"[,\n]").search(text, at).start()
            value, at = text[at:end] or None, end
        row.append(value)
        if text[at] == "\n":
            rows.append(row)
            row = []
        at += 1
    assert all(len(r) == len(rows[0]) for r in rows)
    return rows[0], rows[1:]


def parse(text: str, cql: str):
    """A value as the column's type holds it."""
    inner = re.fullmatch(r"(?:vector<(\w+), *\d+>|frozen<list<(\w+)>>)", cql)
    if inner:
        items = text.strip()[1:-1].split(",")
        return [parse(item.strip(), inner[1] or inner[2]) for item in items if item.strip()]
    if cql in ("tinyint", "smallint", "int", "bigint", "varint"):
        return int(text)
    if cql == "float":
        return np.float32(text)
    if cql == "double":
        return float(text)
    if cql == "decimal":
        return Decimal(text)
    if cql == "boolean":
        return {"true": True, "false": False}[text]
    if cql == "date":
        return date.fromisoformat(text)
    if cql == "timestamp":
        return datetime.fromisoformat(text.replace("Z", "+00:00")).astimezone(timezone.utc)
    assert cql in ("text", "ascii", "uuid"), f"no reader for {cql}"
    return text
