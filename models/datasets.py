"""scikit-learn's bundled data, as the source tables of several models."""

from __future__ import annotations

import numpy as np
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris, load_wine

from common import Table, float32


def column_of(name: str) -> str:
    """A feature's name as a column: what the manifest matches when `[features]` is left out."""
    return "".join(c if c.isalnum() else "_" for c in name.lower())


def biopsies():
    """Breast cancer Wisconsin: the names of 30 features, their values as float32, and the diagnosis in words."""
    data = load_breast_cancer()
    diagnosis = np.array([str(data.target_names[t]) for t in data.target])
    return [str(n) for n in data.feature_names], float32(data.data), diagnosis


def biopsies_table(name: str = "biopsies", cql: str = "float", extra: dict[str, str] | None = None) -> Table:
    names, _, _ = biopsies()
    return Table(name, {"id": "int", **{column_of(n): cql for n in names}, **(extra or {})})


def biopsies_rows(matrix, **extra) -> list[dict]:
    """One dict a row; NaN in `matrix` becomes null, as `extra` columns are added by name."""
    names, _, _ = biopsies()
    rows = []
    for i, values in enumerate(matrix):
        row = {"id": i + 1} | {column_of(n): None if np.isnan(v) else float(v) for n, v in zip(names, values)}
        rows.append(row | {k: v[i] for k, v in extra.items()})
    return rows


def wine():
    """Wine: 13 names, values, and the cultivar by the names the data's own description gives (class 0, 1, 2)."""
    data = load_wine()
    return [str(n) for n in data.feature_names], data.data, np.array(["Barolo", "Grignolino", "Barbera"])[data.target]


def iris():
    """Iris: 4 names without units, values, and the species."""
    data = load_iris()
    names = [str(n).removesuffix(" (cm)") for n in data.feature_names]
    return names, data.data, np.array([str(data.target_names[t]) for t in data.target])


def diabetes():
    """Diabetes, unscaled: 10 names, values, and the progression after a year."""
    data = load_diabetes(scaled=False)
    return [str(n) for n in data.feature_names], data.data, data.target


def visits_key(count: int) -> list[dict]:
    """Keys of the diabetes tables, ((clinic, patient), visit): four visits a patient, clinics with blanks in the name."""
    clinics = ["Basel", "Genève", "St. Gallen"]
    return [{"clinic": clinics[i // 4 % 3], "patient": 1000 + i // 4, "visit": 1 + i % 4} for i in range(count)]


def holes(shape, share: float, seed: int) -> np.ndarray:
    """Where values are missing: True with that probability."""
    return np.random.default_rng(seed).random(shape) < share
