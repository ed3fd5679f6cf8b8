#!/usr/bin/env python3
"""Trains a small scikit-learn model and registers it with rows alone: chunks first, then the row that makes them a version.

The module exports the model; `helenus.connect().push(…)` would also register it (push_pipeline.py).

    python examples/register_model.py tumour
"""
import argparse
import hashlib

import common
from helenus.export import export
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

CHUNK = 512 * 1024


def train(seed: int) -> tuple[bytes, list[str]]:
    """An ONNX file, and the names of its features in the order in which it takes them."""
    data = load_breast_cancer(as_frame=True)
    rows, held_out, classes, _ = train_test_split(data.data, data.target_names[data.target], train_size=0.8, random_state=seed)
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    model.fit(rows, classes)
    exported = export(model, held_out)
    return exported.onnx, exported.features


def register(session, name: str, onnx: bytes, features: list[str]) -> int:
    sha256 = hashlib.sha256(onnx).digest()
    chunks = [onnx[at : at + CHUNK] for at in range(0, len(onnx), CHUNK)]
    for number, chunk in enumerate(chunks):
        session.execute(
            "INSERT INTO model_chunks (sha256, chunk, data, checksum) VALUES (%s, %s, %s, %s)",
            (sha256, number, chunk, hashlib.sha256(chunk).digest()),
        )
    newest = session.execute("SELECT version FROM model_versions WHERE name = %s LIMIT 1", (name,)).one()
    version = newest.version if newest else 0
    while True:
        version += 1
        taken = session.execute(
            "INSERT INTO model_versions (name, version, format, sha256, size, chunks, feature_names)"
            " VALUES (%s, %s, 'onnx', %s, %s, %s, %s) IF NOT EXISTS",
            (name, version, sha256, len(onnx), len(chunks), features),
        )
        if taken.was_applied:
            return version


parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("name", help="the model's name")
parser.add_argument("--seed", type=int, default=1, help="which rows it learns from")
common.add_arguments(parser)
arguments = parser.parse_args()

onnx, features = train(arguments.seed)
with common.connect(arguments) as session:
    version = register(session, arguments.name, onnx, features)
    print(f"{arguments.name} version {version} is registered ({len(onnx)} bytes)")
    verdict = common.wait(
        arguments,
        lambda: session.execute(
            "SELECT state, reason FROM admissions WHERE name = %s AND version = %s", (arguments.name, version)
        ).one(),
        lambda row: row.state != "admitting",
    )
    print(f"admission: {verdict.state} {verdict.reason or ''}".strip())
    raise SystemExit(0 if verdict.state == "ready" else 1)
