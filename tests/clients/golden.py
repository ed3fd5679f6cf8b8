"""The golden rows of a model's folder as tensors, and answers held against them."""
import csv
import json
import re
import tomllib
import urllib.request
from pathlib import Path

import numpy as np

NUMPY = {
    "BOOL": np.bool_, "INT32": np.int32, "INT64": np.int64,
    "FP16": np.float16, "FP32": np.float32, "FP64": np.float64, "BYTES": np.object_,
}
PLACE = re.compile(r"(.*)\[(\d+)\]")


def metadata(http, model):
    """What the server says about a model."""
    with urllib.request.urlopen(f"http://{http}/v2/models/{model}") as answer:
        return json.load(answer)


class Golden:
    """The inputs (arrays by name) and expected outputs (columns by output and place)."""

    def __init__(self, folder, said):
        self.folder, self.said = Path(folder), said
        with (self.folder / "golden.csv").open(newline="", encoding="utf-8") as file:
            header, *records = csv.reader(file)
        self.rows = len(records)
        places, features = {}, {}
        for tensor in said["inputs"]:
            width = int(np.prod(tensor["shape"][1:], dtype=np.int64))
            places[tensor["name"]] = [None] * width
            for place, name in enumerate(tensor.get("parameters", {}).get("features", [])):
                features[name] = (tensor["name"], place)
        self.expected = []
        for at, column in enumerate(header):
            side, name = column.split(".", 1)
            column = [record[at] for record in records]
            found = PLACE.fullmatch(name)
            if side == "out":
                self.expected.append((found[1], int(found[2]), column) if found else (name, 0, column))
            elif len(places.get(name, ())) == 1:
                places[name][0] = column
            else:
                tensor, place = features.get(name) or (found[1], int(found[2]))
                places[tensor][place] = column
        self.inputs = {tensor["name"]: self.array(tensor, places[tensor["name"]]) for tensor in said["inputs"]}
        assert self.expected, f"{folder}: nothing is expected"

    def array(self, tensor, columns):
        flat = [self.value(tensor["datatype"], text) for row in zip(*columns) for text in row]
        return np.array(flat, dtype=NUMPY[tensor["datatype"]]).reshape([self.rows, *tensor["shape"][1:]])

    @staticmethod
    def value(datatype, text):
        if datatype == "BYTES":
            return text
        if datatype == "BOOL":
            return {"true": True, "false": False}[text]
        return int(text) if datatype.startswith("INT") else float(text)

    def without_nan(self):
        """The rows that JSON can say, and how many it cannot."""
        sayable = np.ones(self.rows, dtype=bool)
        for array in self.inputs.values():
            if array.dtype.kind == "f":
                sayable &= np.isfinite(array.reshape(self.rows, -1)).all(axis=1)
        return sayable, int((~sayable).sum())

    def check(self, what, get, rows=None):
        """Compares all outputs; `get(name)` returns an array. Returns the number of rows compared."""
        rows = np.ones(self.rows, dtype=bool) if rows is None else rows
        rtol, atol = 1e-5, 1e-6
        if (self.folder / "tolerance.toml").exists():
            tolerance = tomllib.loads((self.folder / "tolerance.toml").read_text())
            rtol, atol = tolerance["rtol"], tolerance["atol"]
        kinds = {tensor["name"]: tensor for tensor in self.said["outputs"]}
        for name, place, column in self.expected:
            array, datatype = get(name), kinds[name]["datatype"]
            count = int(rows.sum())
            shape = [count, *kinds[name]["shape"][1:]]
            assert list(array.shape) == shape, f"{what}: {name} has shape {array.shape}, not {shape}"
            assert array.dtype == NUMPY[datatype], f"{what}: {name} is {array.dtype}"
            found = array.reshape(count, -1)[:, place]
            wanted = [self.value(datatype, text) for text, said in zip(column, rows) if said]
            if datatype == "BYTES":
                found = [text.decode() if isinstance(text, bytes) else text for text in found]
                assert found == wanted, f"{what}: {name}[{place}]: {found} != {wanted}"
            elif datatype.startswith("FP"):
                close = np.isclose(found.astype(np.float64), wanted, rtol=rtol, atol=atol, equal_nan=True)
                assert close.all(), f"{what}: {name}[{place}]: {found} != {wanted}"
            else:
                assert found.tolist() == wanted, f"{what}: {name}[{place}]: {found} != {wanted}"
        return int(rows.sum())
