"""Scores every committed model with ONNX Runtime and holds each row against the training library's prediction.

    python verify.py [NAME ...]     one line a model; exit 1 if any differs
    python verify.py --write        the same, and rewrites the parity table in README.md

Reads only the folders, so it also proves that they say all a scorer needs. Equal is |a - b| <= atol + rtol |b|; a label
may differ only where its two best scores lie within that.
"""

from __future__ import annotations

import json
import re
import sys
from dataclasses import dataclass

import common  # first: sets the thread counts

import numpy as np
import onnx
import onnxruntime

import folder as folders
from mapping import Rejected, inputs_of, plan, tensors

BATCH = 256


@dataclass
class Verdict:
    name: str
    size: int
    rows: int
    rejected: int
    worst: float
    share: float
    ties: int
    problems: list[str]


def without_zipmap(model: onnx.ModelProto, stored: bytes) -> tuple[bytes, dict[str, str]]:
    """Appends each ZipMap's input as an output (protobuf merges); returns declared output -> tensor to read."""
    instead, extra = {}, onnx.ModelProto()
    for node in model.graph.node:
        if node.op_type == "ZipMap":
            instead[node.output[0]] = node.input[0]
            extra.graph.output.add(name=node.input[0])
    return stored + (extra.SerializeToString() if instead else b""), instead


def classes_of(model: onnx.ModelProto, job: dict) -> list[str] | None:
    if "classes" in job.get("outputs", {}):
        return [str(c) for c in job["outputs"]["classes"]]
    for entry in model.metadata_props:
        if entry.key == "helenus.classes":
            return [str(c) for c in json.loads(entry.value)]
    zipmaps_first = sorted(model.graph.node, key=lambda node: node.op_type != "ZipMap")
    for node in zipmaps_first:
        for attribute in node.attribute:
            if attribute.name.startswith("classlabels") or attribute.name == "class_labels":
                return [s.decode() for s in attribute.strings] or [str(i) for i in attribute.ints]
    return None


class Scorer:
    """A model and its declared outputs, ZipMap read as the tensor behind it."""

    def __init__(self, folder: folders.Folder):
        stored = (folder.path / "model.onnx").read_bytes()
        self.model = onnx.load_from_string(stored)
        merged, self.instead = without_zipmap(self.model, stored)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.log_severity_level = 1, 4
        self.session = onnxruntime.InferenceSession(merged, options, providers=["CPUExecutionProvider"])
        self.outputs = [value.name for value in self.model.graph.output]
        first = next(iter(self.session.get_inputs())).shape[0]
        self.refusals: list[str] = []
        self.fixed = first if isinstance(first, int) and first > 0 else None

    def run(self, rows: list[dict[str, np.ndarray]]) -> list[dict | None]:
        """Outputs of each row by declared name; None for a row that ONNX Runtime refuses (found by bisection)."""
        size = self.fixed or BATCH
        results = []
        for start in range(0, len(rows), size):
            results += self.bisect(rows[start:start + size])
        return results

    def bisect(self, rows):
        padded = rows + [rows[-1]] * ((self.fixed or len(rows)) - len(rows))
        feed = {name: np.concatenate([row[name] for row in padded]) for name in rows[0]}
        try:
            found = self.session.run([self.instead.get(o, o) for o in self.outputs], feed)
        except Exception as error:
            if len(rows) == 1:
                self.refusals.append(str(error).split("Status Message: ")[-1].strip())
                return [None]
            half = len(rows) // 2
            return self.bisect(rows[:half]) + self.bisect(rows[half:])
        assert all(len(f) == len(padded) for f in found), "outputs not aligned with the batch"
        return [{o: f[i] for o, f in zip(self.outputs, found)} for i in range(len(rows))]


def probabilities(values: np.ndarray) -> bool:
    """Rows in [0, 1] that sum to 1, within 1e-3: a forest's sums of float32 leave [0, 1] by 4e-7 on one thread."""
    return bool(np.all((values >= -1e-3) & (values <= 1 + 1e-3)) and np.all(abs(values.sum(1) - 1) < 1e-3))


def prediction_columns(scorer: Scorer, job: dict, sample: list[dict]) -> dict[str, tuple[str, int | None]]:
    """Prediction column -> (output, place in it or None for all of it), by the contract's naming rules."""
    classes = classes_of(scorer.model, job)
    names, wanted = {}, job.get("outputs", {})
    shapes = {o: np.shape(sample[0][o]) for o in scorer.outputs}
    label = [o for o in scorer.outputs if np.asarray(sample[0][o]).dtype.kind in "iUO" and np.prod(shapes[o]) == 1]
    for output in scorer.outputs:
        width = int(np.prod(shapes[output]))
        values = np.asarray([s[output] for s in sample])
        if output in label and (classes or len(scorer.outputs) > 1) and len(label) == 1:
            names["label"] = (output, None)
        elif width > 1 and (classes or label) and width <= 32:
            prefix = "p_" if probabilities(values.reshape(len(values), -1)) else "score_"
            for i, c in enumerate(classes or range(width)):
                names[prefix + re.sub("[^a-z0-9]", "_", str(c).lower())] = (output, i)
        elif width == 1 and classes and "positive" in wanted:
            names["score_" + wanted["positive"]] = (output, 0)
        else:
            names[output.lower()] = (output, None)
    explicit = {}
    for column, source in wanted.get("columns", {}).items():
        place = classes.index(source["class"]) if "class" in source else None
        explicit[column] = (source["output"], place)
    return explicit or names


def same(ours, text: str, rtol: float, atol: float) -> tuple[bool, float, float]:
    """Whether they agree, the largest absolute difference, and the largest share of the allowed one."""
    ours = np.asarray(ours)
    if ours.dtype.kind in "UO":
        return str(ours.reshape(-1)[0]) == text, 0.0, 0.0
    if ours.dtype.kind in "iu":
        return bool(np.all(ours.reshape(-1) == int(text))), 0.0, 0.0
    theirs = np.array([{"true": 1.0, "false": 0.0}.get(t.strip(), t.strip()) for t in text.strip("[]").split(",")], float)
    ours = ours.reshape(-1).astype(float)
    agree = (ours == theirs) | (np.isnan(ours) & np.isnan(theirs))
    with np.errstate(invalid="ignore"):
        off = np.where(agree, 0.0, np.abs(ours - theirs))
        share = np.max(np.where(agree, 0.0, off / (atol + rtol * np.abs(theirs))))
    return bool(len(ours) == len(theirs) and share <= 1), float(np.max(off)), float(share)


def verify(name: str) -> Verdict:
    folder = folders.read(common.ROOT / name)
    scorer = Scorer(folder)
    signature, layout = inputs_of(scorer.model), plan(folder, scorer.model)
    fed, places = [], []
    for at, row in enumerate(folder.rows):
        try:
            fed.append(tensors(row, layout, signature))
            places.append(at)
        except Rejected:
            continue
    got = dict(zip(places, scorer.run(fed)))
    columns = prediction_columns(scorer, folder.job, [g for g in got.values() if g and not has_nan(g)][:64])
    verdict = Verdict(name, (folder.path / "model.onnx").stat().st_size, len(folder.rows), 0, 0.0, 0.0, 0, [])
    extra = ["rejected"] if "rejected" in folder.expected_header else []
    if folder.expected_header != folder.key + list(columns) + extra:
        verdict.problems.append(f"columns {list(columns)}, expected {folder.expected_header}")
        return verdict
    allow = folder.job.get("outputs", {}).get("nan") == "allow"
    for at, (row, want) in enumerate(zip(folder.rows, folder.expected)):
        result = got.get(at)
        if result and (not allow and has_nan(result) or unsearchable(result, folder.job)):
            result = None
        assert all(common.literal(row[k], folder.columns[k]) == want[k] for k in folder.key), (name, at)
        verdict.rejected += result is None
        if (result is None) != (want.get("rejected") == "true"):
            verdict.problems.append(f"row {at}: rejected {result is None}, expected {want}")
        elif result:
            compare(verdict, folder, columns, result, want, at)
    check_golden(verdict, folder, scorer, layout)
    for reason in sorted(set(scorer.refusals)):
        print(f"     refused by ONNX Runtime: {scorer.refusals.count(reason)} x {reason}")
    return verdict


def has_nan(result: dict) -> bool:
    return any(np.asarray(v).dtype.kind == "f" and np.isnan(v).any() for v in result.values())


def unsearchable(result: dict, job: dict) -> bool:
    """Whether an index by cosine cannot hold a vector of the result: it has no direction."""
    columns = job.get("outputs", {}).get("columns", {}).values()
    return any(column.get("index") == "cosine" and not np.any(result[column["output"]]) for column in columns)


def compare(verdict, folder, columns, result, want, at) -> None:
    scores = [np.asarray(result[o]).reshape(-1) for o, _ in columns.values()
              if np.asarray(result[o]).dtype.kind == "f" and np.size(result[o]) > 1]
    for column, (output, place) in columns.items():
        value = result[output] if place is None else np.asarray(result[output]).reshape(-1)[place]
        agree, off, share = same(value, want[column], folder.rtol, folder.atol)
        if not agree and np.asarray(value).dtype.kind in "iUO" and scores:
            best = np.sort(scores[0].astype(float))[-2:]
            if best[1] - best[0] <= folder.atol + folder.rtol * abs(best[1]):
                verdict.ties, agree = verdict.ties + 1, True
        if not agree:
            verdict.problems.append(f"row {at} {column}: {value} for {want[column]}")
        verdict.worst, verdict.share = max(verdict.worst, off), max(verdict.share, share)


def check_golden(verdict, folder, scorer, layout) -> None:
    """Feeds the golden rows as they stand, without any mapping, and compares each named output."""
    signature, fed = inputs_of(scorer.model), []
    for line in folder.golden:
        cells = dict(zip(folder.golden_header, line))
        row = {}
        for name, (kind, shape) in signature.items():
            names = [f for f, rule in layout[name]]
            width = int(np.prod(shape))
            if "in." + names[0] in cells and len(names) == width:
                values = [cells["in." + f] for f in names]
            else:
                values = [cells[f"in.{name}[{i}]"] for i in range(width)]
            if kind is np.bool_:
                values = [v == "true" for v in values]
            row[name] = np.array(values, dtype=object).astype(kind).reshape([1, *shape])
        fed.append(row)
    for number, (line, result) in enumerate(zip(folder.golden, scorer.run(fed))):
        for head, text in zip(folder.golden_header, line):
            if head.startswith("out."):
                output, _, place = head[4:].partition("[")
                value = np.asarray(result[output]).reshape(-1)
                agree, *_ = same(value[int(place[:-1])] if place else value, text, folder.rtol, folder.atol)
                if not agree:
                    verdict.problems.append(f"golden row {number} {head}: {value} for {text}")


def main() -> int:
    wanted = [a for a in sys.argv[1:] if not a.startswith("--")]
    # A folder with a tokenizer was held against numpy by its own script, which knows tokens.
    names = wanted or sorted(p.parent.name for p in common.ROOT.glob("*/model.onnx") if not (p.parent / "tokenizer.json").exists())
    verdicts = []
    for name in names:
        verdicts.append(v := verify(name))
        print(f"{'FAIL' if v.problems else 'ok  '} {v.name:24} rows {v.rows:5} rejected {v.rejected:3} "
              f"worst {v.worst:.1e} ({v.share:6.1%} of allowed) ties {v.ties}")
        for problem in v.problems[:5]:
            print("     ", problem)
    if "--write" in sys.argv:
        write_table(verdicts)
    return int(any(v.problems for v in verdicts))


def write_table(verdicts: list[Verdict]) -> None:
    readme = common.ROOT / "README.md"
    lines = ["| model | bytes | rows | rejected | max abs difference | share of the tolerance |", "|---|--:|--:|--:|--:|--:|"]
    lines += [f"| {v.name} | {v.size:,} | {v.rows} | {v.rejected} | {v.worst:.1e} | {v.share:.0%} |" for v in verdicts]
    text = re.sub(r"(<!-- parity -->\n).*?(<!-- /parity -->)", lambda m: m[1] + "\n".join(lines) + "\n" + m[2],
                  readme.read_text(), flags=re.S)
    readme.write_text(text)


if __name__ == "__main__":
    sys.exit(main())
