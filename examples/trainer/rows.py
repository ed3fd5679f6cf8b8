"""What a trainer's script gets from helenus, and what it gives back.

`helenus trainer` writes input/train.parquet (rows with their label), input/held_out.parquet (rows without) and input/training.json;
it expects output/model.onnx, output/features.txt and output/golden.csv, and takes output/metrics.json and
output/reference.parquet.
"""
import json
import os
from pathlib import Path

# One thread: reproducible sums, and little address space (the trainer limits it).
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")

import numpy as np
import pyarrow
import pyarrow.parquet as parquet
from helenus.export import export

INPUT = Path(os.environ.get("HELENUS_INPUT", "input"))
OUTPUT = Path(os.environ.get("HELENUS_OUTPUT", "output"))


class Rows:
    """Training rows: features as float32 (null is NaN), labels as the label column has them."""

    def __init__(self):
        self.about = json.loads((INPUT / "training.json").read_text())
        self.features = [feature["name"] for feature in self.about["features"]]
        train = parquet.read_table(INPUT / "train.parquet")
        held_out = parquet.read_table(INPUT / "held_out.parquet")
        self.x = self._floats(train)
        self.stored = self._floats(train, fill=False)
        self.y = np.array(train.column(self.about["label"]).to_pylist())
        self.held_out = self._floats(held_out)

    def _floats(self, table, fill=True):
        """A column each; a job's replacement of nulls (`null = 0` in the manifest) is made here as it is made there."""
        columns = []
        for feature in self.about["features"]:
            filled = table.column(feature["column"]).to_pylist()
            null = float(feature["null"] if fill and feature["null"] is not None else "nan")
            columns.append([null if value is None else value for value in filled])
        return np.array(columns, dtype=np.float32).T.reshape(-1, len(columns))


def write(rows: Rows, model, metrics: dict) -> None:
    """Exports a fitted model as `Helenus.push` does: the export that predicts what the model predicts, with golden rows; or a refusal."""
    # Held-out rows, which the model has not seen; nulls are not every model's.
    exported = export(model, rows.held_out[~np.isnan(rows.held_out).any(axis=1)], features=rows.features)
    exported.write(OUTPUT)
    (OUTPUT / "features.txt").write_text("".join(f"{name}\n" for name in rows.features))
    (OUTPUT / "metrics.json").write_text(json.dumps(metrics))
    # What later rows are compared with, nulls as nulls; fewer rows, or a feature without any value, are no reference.
    if len(rows.stored) >= 200 and not np.isnan(rows.stored).all(axis=0).any():
        columns = [pyarrow.array(column, from_pandas=True) for column in rows.stored.T]
        parquet.write_table(pyarrow.table(columns, names=rows.features), OUTPUT / "reference.parquet")
