#!/usr/bin/env python3
"""Rows a second of `helenus score`, end to end, over a table made from a seed.

Two tables with the same numbers: 30 float columns, and one vector<float, 30>. The model is the
logistic regression of models/breast_cancer_lr. Each table is scored once to warm up Cassandra and
then RUNS times with --scope all, in turn, so that both meet the same moods of the machine.

    scripts/setup && scripts/cassandra up
    cargo build --release
    .dev/venv/bin/python bench/throughput.py --rows 200000

Prints one JSON object. Memory is the peak resident size of the helenus process.
"""

import argparse
import json
import os
import pathlib
import random
import struct
import subprocess
import sys
import time

from cassandra.cluster import Cluster
from cassandra.concurrent import execute_concurrent_with_args

ROOT = pathlib.Path(__file__).resolve().parent.parent
MODEL = ROOT / "models" / "breast_cancer_lr"
FEATURES = 30


def rows(count, seed):
    """Numbers in the range of the training data, so that probabilities are not all 0 or 1."""
    with open(MODEL / "data.csv") as file:
        header = file.readline().strip().split(",")
        data = [line.strip().split(",") for line in file]
    columns = header[1 : 1 + FEATURES]
    table = [[float(row[1 + i]) for i in range(FEATURES)] for row in data]
    generator = random.Random(seed)
    for key in range(count):
        base = generator.choice(table)
        yield key, [value * generator.uniform(0.9, 1.1) for value in base]


def columns():
    with open(MODEL / "data.csv") as file:
        return file.readline().strip().split(",")[1 : 1 + FEATURES]


def load(session, keyspace, count, seed):
    names = columns()
    session.execute(
        f"CREATE TABLE IF NOT EXISTS {keyspace}.wide (id int PRIMARY KEY, "
        + ", ".join(f"{name} float" for name in names)
        + ")"
    )
    session.execute(
        f"CREATE TABLE IF NOT EXISTS {keyspace}.packed (id int PRIMARY KEY, features vector<float, {FEATURES}>)"
    )
    marks = ", ".join("?" * FEATURES)
    wide = session.prepare(
        f"INSERT INTO {keyspace}.wide (id, {', '.join(names)}) VALUES (?, {marks})"
    )
    packed = session.prepare(f"INSERT INTO {keyspace}.packed (id, features) VALUES (?, ?)")
    as_float = lambda values: list(struct.unpack(f"{FEATURES}f", struct.pack(f"{FEATURES}f", *values)))
    execute_concurrent_with_args(
        session, wide, ((key, *values) for key, values in rows(count, seed)), concurrency=128
    )
    execute_concurrent_with_args(
        session, packed, ((key, as_float(values)) for key, values in rows(count, seed)), concurrency=128
    )


def helenus(*arguments, environment):
    """Runs helenus; gives its JSON result, its peak resident size in MiB and its CPU seconds."""
    command = [str(ROOT / "target" / "release" / "helenus"), "--output", "json", *arguments]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, cwd=ROOT)
    peak = 0.0
    # Not ru_maxrss: that begins with the size of this process, which made the rows.
    while os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        status = pathlib.Path(f"/proc/{process.pid}/status").read_text()
        if "VmHWM" in status:
            peak = max(peak, int(status.split("VmHWM:")[1].split()[0]) / 1024)
        time.sleep(0.02)
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    answer = json.loads(output)
    if os.waitstatus_to_exitcode(status) != 0:
        sys.exit(f"{' '.join(command)}: {json.dumps(answer['error'])}")
    return answer["result"], peak, usage.ru_utime + usage.ru_stime


def job(name, keyspace, table, packed):
    features = (
        '[features]\nfeatures = { column = "features", width = 30 }\n\n[wide.X]\nfor_versions = [1]\norder = ["features"]\n'
        if packed
        else ""
    )
    model = "bench_packed" if packed else "bench_wide"
    return (
        f'job = "{name}"\nmodel = "{model}"\nversions = [1]\n\n[source]\ntable = "{keyspace}.{table}"\n\n'
        f'{features}\n[outputs]\npositive = "malignant"\n'
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--contact", default="127.0.0.1:9042")
    parser.add_argument("--keyspace", default="helenus_bench")
    options = parser.parse_args()
    host, port = options.contact.split(":")
    session = Cluster([host], port=int(port)).connect()
    session.default_timeout = 60
    data = options.keyspace + "_data"
    session.execute(f"DROP KEYSPACE IF EXISTS {options.keyspace}", timeout=60)
    session.execute(f"DROP KEYSPACE IF EXISTS {data}", timeout=60)
    session.execute(
        f"CREATE KEYSPACE {data} WITH replication = {{'class': 'SimpleStrategy', 'replication_factor': 1}}"
    )
    load(session, data, options.rows, options.seed)
    environment = dict(os.environ, HELENUS_CONTACT_POINTS=options.contact, HELENUS_KEYSPACE=options.keyspace)
    helenus("migrate", environment=environment)
    folder = ROOT / "target" / "bench"
    folder.mkdir(parents=True, exist_ok=True)
    for table, packed in (("wide", False), ("packed", True)):
        # The packed table's features have one name for all 30 places.
        features = [] if packed else ["--features", str(MODEL / "features.txt")]
        helenus("model", "push", f"bench_{table}", str(MODEL / "model.onnx"), *features, environment=environment)
        manifest = folder / f"bench_{table}.toml"
        manifest.write_text(job(f"bench_{table}", data, table, packed))
        helenus("job", "create", str(manifest), environment=environment)
    figures = {table: {"rows_per_s": [], "peak_mib": [], "cpu_s_per_million": []} for table in ("wide", "packed")}
    for run in range(options.runs + 1):
        for table in ("wide", "packed"):
            began = time.monotonic()
            result, peak, cpu = helenus("score", f"bench_{table}", "--scope", "all", environment=environment)
            took = time.monotonic() - began
            assert result["source_rows"] == options.rows, result
            if run > 0:
                figures[table]["rows_per_s"].append(round(options.rows / took))
                figures[table]["peak_mib"].append(round(peak))
                figures[table]["cpu_s_per_million"].append(round(cpu / options.rows * 1e6, 2))
    for figure in figures.values():
        figure["median_rows_per_s"] = sorted(figure["rows_per_s"])[options.runs // 2]
    print(json.dumps({"rows": options.rows, "runs": options.runs, "figures": figures}, indent=2))


if __name__ == "__main__":
    main()
