"""Runs an export and holds every value against the library's."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any, Optional, Sequence

import numpy as np

from .columns import Rows
from .families import Plan
from .library import Predictions

BATCH = 512


@dataclass(frozen=True)
class Failure:
    """Why a way to export can't be taken."""

    plan: Plan
    what: str
    detail: str
    differing: int = 0
    of: int = 0
    #: Largest difference, as a multiple of what is tolerated.
    excess: float = float("inf")

    @classmethod
    def of_error(cls, plan: Plan, what: str, error: BaseException) -> "Failure":
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        return cls(plan, what, f"{type(error).__name__}: {' '.join(lines)[:400]}")


@dataclass(frozen=True)
class Matched:
    """A tensor of the export and what the library gives in its place for the held-out rows."""

    name: str
    values: "np.ndarray[Any, Any]"
    #: Whether the file declares integers, booleans or texts: a label.
    label: bool


def verify(model: bytes, plan: Plan, expected: Sequence[tuple[Rows, Predictions]], rtol: float,
           atol: float) -> "Failure | list[Matched]":
    """Compares an export with the library on all samples; returns what matched on the first one."""
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        return Failure.of_error(plan, "ONNX Runtime does not load the export", error)
    names = _names(model, session)
    first: list[Matched] = []
    for at, (rows, predictions) in enumerate(expected):
        try:
            tensors = _run(session, names, rows, plan)
        except Exception as error:
            return Failure.of_error(plan, "ONNX Runtime does not score the rows", error)
        compared = _compare(plan, tensors, predictions, rtol, atol, shuffled=at > 0)
        if isinstance(compared, Failure):
            return compared
        first = first or compared
    return first


def _names(model: bytes, session: Any) -> list[list[str]]:
    """Returns the names of each output's tensors: several, under their own names, for a sequence."""
    import onnx

    nodes = {node.output[0]: node for node in onnx.load_from_string(model).graph.node if node.output}
    found = []
    for output in session.get_outputs():
        node = nodes.get(output.name)
        sequence = output.type.startswith("seq(tensor") and node is not None and node.op_type == "SequenceConstruct"
        found.append(list(node.input) if sequence and node is not None else [output.name])
    return found


def feed(rows: Rows, plan: Plan) -> "dict[str, np.ndarray[Any, Any]]":
    """Returns the input tensors."""
    if plan.wide:
        kind = "string" if "string" in rows.kinds.values() else plan.kind("double")
        return {"X": np.column_stack([rows.tensor(name, kind) for name in rows.names])}
    return {name: rows.tensor(name, plan.kind(kind)).reshape(-1, 1) for name, kind in rows.kinds.items()}


def _run(session: Any, names: list[list[str]], rows: Rows, plan: Plan) -> "list[tuple[str, np.ndarray[Any, Any]]]":
    inputs = feed(rows, plan)
    batches: list[list[Any]] = []
    for start in range(0, len(rows), BATCH):
        batch = {name: values[start:start + BATCH] for name, values in inputs.items()}
        tensors = []
        for output in session.run(None, batch):
            if isinstance(output, list) and output and isinstance(output[0], dict):  # ZipMap
                tensors.append(np.array([list(row.values()) for row in output]))
            elif isinstance(output, list):
                tensors += [np.asarray(part) for part in output]
            else:
                tensors.append(np.asarray(output))
        batches.append(tensors)
    flat = [name for group in names for name in group]
    return [(name, np.concatenate([batch[at] for batch in batches])) for at, name in enumerate(flat)]


def _compare(plan: Plan, tensors: "list[tuple[str, np.ndarray[Any, Any]]]", predictions: Predictions, rtol: float, atol: float,
             shuffled: bool) -> "Failure | list[Matched]":
    candidates = _candidates(predictions)
    scores = _scores(predictions)
    sample = " made by shuffling columns" if shuffled else ""
    matched, covered = [], set()
    for name, got in tensors:
        rows = len(got)
        got = got.reshape(rows, -1)
        label = got.dtype.kind in "OUSbi"
        best: Optional[tuple[float, int, str, np.ndarray[Any, Any]]] = None
        for method, want in candidates:
            want = want.reshape(rows, -1) if len(want) == rows else want
            if want.shape != got.shape:
                continue
            if label:
                excess, wrong = _labels_differ(got, want, scores, rtol, atol)
            elif want.dtype.kind in "biuf":
                excess, wrong = _numbers_differ(got, want, rtol, atol)
            else:
                continue
            if best is None or (excess, wrong) < best[:2]:
                best = (excess, wrong, method, want)
        if best is None:
            shapes = ", ".join(f"{method} {list(want.shape)}" for method, want in candidates)
            return Failure(plan, f"output `{name}` has shape {list(got.shape)}", f"the library gives {shapes}")
        excess, wrong, method, want = best
        if wrong:
            return Failure(plan, f"`{name}` differs from {method}() in {wrong} of {rows} rows{sample}",
                           _example(got, want, rtol, atol, label), wrong, rows, excess)
        covered.add(method.split("[")[0])
        matched.append(Matched(name, want, label))
    if not covered & {"predict", "transform", "predict_proba"}:
        return Failure(plan, "no output is what predict() gives", ", ".join(name for name, _ in tensors))
    return matched


def _candidates(predictions: Predictions) -> "list[tuple[str, np.ndarray[Any, Any]]]":
    """Returns what an output may stand for: values of a method, of each target, both columns of a single score."""
    found = []
    for method, values in predictions.items():
        if isinstance(values, list):
            found += [(f"{method}[{at}]", part) for at, part in enumerate(values)]
            continue
        found.append((method, values))
        if method == "decision_function" and values.ndim == 1:
            found.append((method, np.column_stack([-values, values])))
        if method == "predict_proba" and values.ndim == 2 and values.shape[1] == 2:
            found.append((method, values[:, 1]))
    return found


def _scores(predictions: Predictions) -> "Optional[np.ndarray[Any, Any]]":
    values = predictions.get("predict_proba", predictions.get("decision_function"))
    if values is None or isinstance(values, list):
        return None
    if values.ndim == 1:
        values = np.column_stack([-values, values])
    return np.asarray(values)


def _numbers_differ(got: Any, want: Any, rtol: float, atol: float) -> tuple[float, int]:
    got, want = got.astype(np.float64), want.astype(np.float64)
    with np.errstate(invalid="ignore"):
        shares = np.abs(got - want) / (atol + rtol * np.abs(want))
    same = (got == want) | (np.isnan(got) & np.isnan(want))
    shares = np.where(same, 0.0, np.where(np.isnan(shares), np.inf, shares))
    worst = shares.max(axis=1) if shares.size else np.zeros(len(got))
    return float(worst.max(initial=0.0)), int((worst > 1).sum())


def _labels_differ(got: Any, want: Any, scores: Any, rtol: float, atol: float) -> tuple[float, int]:
    """A label may differ only where its two best scores are within the tolerance."""
    differ = np.array([any(not _same_label(g, w) for g, w in zip(a, b)) for a, b in zip(got, want)], dtype=bool)
    if scores is not None and differ.any() and scores.shape[1] > 1 and got.shape[1] == 1:
        best = np.sort(scores, axis=1)
        tie = best[:, -1] - best[:, -2] <= 2 * (atol + rtol * np.abs(best[:, -1]))
        differ &= ~tie
    return (float("inf") if differ.any() else 0.0), int(differ.sum())


def _same_label(got: Any, want: Any) -> bool:
    if isinstance(got, str) or isinstance(want, str):
        return str(got) == str(want)
    return float(got) == float(want)


def _example(got: Any, want: Any, rtol: float, atol: float, label: bool) -> str:
    if label:
        at = next(at for at in range(len(got)) if any(not _same_label(g, w) for g, w in zip(got[at], want[at])))
        return f"row {at}: {got[at].tolist()} instead of {want[at].tolist()}"
    got, want = got.astype(np.float64), want.astype(np.float64)
    shares = np.abs(got - want) / (atol + rtol * np.abs(want))
    row, column = divmod(int(np.nan_to_num(shares, nan=np.inf).argmax()), shares.shape[1])
    return f"row {row}: {got[row, column]:.9g} instead of {want[row, column]:.9g}"
