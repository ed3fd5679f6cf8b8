"""What ONNX Runtime itself makes of each file: loads it from bytes in a child of 4 GiB and 20 s, then runs four rows.

    ../../.dev/train-venv/bin/python probe.py [FILE ...]       prints a line each; without names, rewrites README.md's table
"""

from __future__ import annotations

import csv
import os
import re
import resource
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
MEMORY, SECONDS = 4 << 30, 20


def child(path: Path) -> None:
    """Loads and runs; each step announces itself, so that the parent knows how far a dead child came."""
    import numpy as np
    import onnxruntime
    kinds = {"float": np.float32, "double": np.float64, "int64": np.int64, "string": object, "int8": np.int8, "uint8": np.uint8}
    options = onnxruntime.SessionOptions()
    options.log_severity_level, options.intra_op_num_threads = 4, 1
    stored = path.read_bytes()
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    print("load", flush=True)
    try:
        session = onnxruntime.InferenceSession(stored, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        print("refused", tidy(error), flush=True)
        return
    print("run", flush=True)
    try:
        feed = {}
        for place, given in enumerate(session.get_inputs()):
            shape = [4] + [d if isinstance(d, int) else 2 for d in given.shape[1:]] if given.shape else []
            kind = kinds.get(given.type.removeprefix("tensor(").removesuffix(")"))
            if kind is None:
                print("unfed", given.type, flush=True)
                return
            values = np.random.default_rng(place).normal(size=shape)
            feed[given.name] = values.astype(str).astype(object) if kind is object else values.astype(kind)
        found = session.run(None, feed)
        print("ran", "outputs " + ", ".join(str(list(np.shape(f))) for f in found), flush=True)
    except Exception as error:
        print("failed", type(error).__name__ if isinstance(error, (MemoryError, TypeError)) else "", tidy(error), flush=True)


def tidy(error: Exception) -> str:
    text = str(error).replace("\n", " ").replace("|", "/")
    text = re.sub(r"\[ONNXRuntimeError\] : \d+ : |/?\S*onnxruntime_src/\S+:\d+ |onnxruntime::\S+", "", text)
    return re.sub(r"\s+", " ", text)[:150].strip()


def probe(path: Path) -> str:
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "weights.bin").write_bytes(bytes(8))  # what the external_data files ask for
        process = subprocess.Popen([sys.executable, __file__, "--child", path], cwd=folder, text=True,
                                   stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        alarm = threading.Timer(SECONDS, process.kill)
        alarm.start()
        said = process.stdout.read()
        _, status, used = os.wait4(process.pid, 0)
        alarm.cancel()
    took, lines, process.returncode = time.monotonic() - started, said.splitlines(), os.waitstatus_to_exitcode(status)
    if took >= SECONDS:
        return f"{'never finishes loading' if lines[-1] == 'load' else 'loads; never finishes running'} (killed after {SECONDS} s)"
    verdict, _, detail = lines[-1].partition(" ")
    if process.returncode < 0:
        return f"**kills the process** (signal {-process.returncode}) while it {'loads' if verdict == 'load' else 'runs'}"
    slow = f", after {took:.0f} s" if took > 5 else ""
    slow += f", having taken {used.ru_maxrss / 2**20:.1f} GiB" if used.ru_maxrss > 2**20 else ""
    return {"unfed": f"loads; not run: Python feeds no {detail}", "refused": f"refuses to load: {detail}", "ran": f"runs: {detail}", "failed": f"loads; run fails: {detail}"}[verdict] + slow


def main() -> None:
    if sys.argv[1:2] == ["--child"]:
        return child(Path(sys.argv[2]))
    cases = list(csv.DictReader((HERE / "cases.csv").open()))
    wanted = sys.argv[1:]
    lines = ["| file | bytes | what it is | helenus | ONNX Runtime 1.31.1 by itself |", "|---|--:|---|---|---|"]
    for row in cases:
        if wanted and row["file"] not in wanted:
            continue
        path = HERE / row["file"]
        found = probe(path)
        print(f"{row['file']:32} {found}", flush=True)
        must = f"{row['verdict']} ({row['at']})" + (f", says `{row['word']}`" if row["word"] else "")
        lines.append(f"| {row['file']} | {path.stat().st_size:,} | {row['what']} | {must} | {found} |")
    if not wanted:
        readme = HERE / "README.md"
        readme.write_text(re.sub(r"(<!-- probe -->\n).*?(<!-- /probe -->)", lambda m: m[1] + "\n".join(lines) + "\n" + m[2],
                                 readme.read_text(), flags=re.S))


if __name__ == "__main__":
    main()
