"""Golden rows: inputs as the tensors hold them, outputs as the library gives them."""

from __future__ import annotations

import csv
import io
from typing import Any, Sequence

import numpy as np

from .columns import Rows
from .families import Plan
from .verify import Matched, feed

#: Admission compares the first 1,000.
MOST = 1000


def write(rows: Rows, plan: Plan, outputs: Sequence[Matched]) -> str:
    """Returns the CSV of the held-out rows."""
    inputs = feed(rows, plan)
    columns: list[tuple[str, list[Any]]] = []
    if plan.wide:
        columns += [(f"in.{name}", list(inputs["X"][:MOST, at])) for at, name in enumerate(rows.names)]
    else:
        columns += [(f"in.{name}", list(inputs[name][:MOST, 0])) for name in rows.names]
    for output in outputs:
        values = output.values[:MOST].reshape(min(len(rows), MOST), -1)
        width = values.shape[1]
        for at in range(width):
            name = f"out.{output.name}" if width == 1 else f"out.{output.name}[{at}]"
            columns.append((name, list(values[:, at])))
    file = io.StringIO()
    # Quoted texts: `""` is an empty text, and nothing at all would be null.
    table = csv.writer(file, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
    table.writerow([name for name, _ in columns])
    cells = [[_cell(value) for value in values] for _, values in columns]
    table.writerows(zip(*cells))
    return file.getvalue()


class _Number(float):
    """A number with digits of its own, which the csv module writes without quotes."""

    def __new__(cls, text: str) -> "_Number":
        number = super().__new__(cls, text)
        number.text = text
        return number

    text: str

    def __repr__(self) -> str:
        return self.text

    __str__ = __repr__


def _cell(value: Any) -> Any:
    if isinstance(value, (bool, np.bool_)):
        return int(value)
    if isinstance(value, np.integer):
        return int(value)
    if isinstance(value, np.floating):
        number = float(value)
        if np.isnan(number):
            return _Number("NaN")
        if np.isinf(number):
            return _Number("inf" if number > 0 else "-inf")
        # The shortest decimal that reads back as the same value of its type.
        return _Number(np.format_float_scientific(value, trim="-") if abs(number) >= 1e16 or 0 < abs(number) < 1e-4
                       else np.format_float_positional(value, trim="-"))
    return value
