"""helenus alone, helenus on Spark's executors, `helenus pipe` in Spark, and the Spark connector doing the same job, in turn."""

import functools
import json
import math
import shutil
import subprocess
import sys

from contenders import helenus
from measure import ROOT, summary
from spark.driver import Driver
from world import DATA, MODELS, NAMES

LENDER = ROOT / ".dev" / "spark-venv" / "bin" / "python"
PEER = ROOT / ".dev" / "spark-peer-venv" / "bin" / "python"
JARS = ROOT / ".dev" / "spark-connector-jars"
FOLDER = ROOT / "target" / "bench" / "spark"
MODEL = ROOT / MODELS["lgbm"]
# Predictions of helenus's that each contender's are compared with.
SAMPLE = 200


def beside_the_connector(world):
    rounds = 1 if world.options.quick else min(world.options.pairs, 3)
    source = world.table("columns")
    own, lent, peer = (world.job("lgbm", "columns", name=name, table=source) for name in ("spark_alone", "spark_lent", "spark_peer"))
    contenders = {"helenus score": functools.partial(alone, world, own)}
    skipped = {}
    if not all(path.exists() for path in (LENDER, PEER, JARS)):
        skipped["everything with Spark"] = "scripts/setup --bench-spark was not run"
    else:
        shutil.rmtree(FOLDER, ignore_errors=True)
        FOLDER.mkdir(parents=True)
        print("  the table as Parquet", file=sys.stderr)
        rows, out, bundle = (FOLDER / name for name in ("rows.parquet", "predictions.parquet", "job.bundle"))
        command = [str(PEER), str(ROOT / "bench" / "spark" / "peer.py"), "export", DATA, source, str(rows)]
        subprocess.run(command, check=True, cwd=ROOT, env=variables(world), stderr=subprocess.DEVNULL)
        world.helenus("bundle", own, str(bundle))
        names = FOLDER / "columns.txt"
        names.write_text("\n".join(NAMES))
        contenders["helenus.spark.run"] = functools.partial(spark, world, LENDER, "lend.py", "run", lent, table=lent)
        contenders["helenus pipe, Parquet to Parquet"] = functools.partial(spark, world, LENDER, "lend.py", "pipe", bundle, rows, out, parquet=out)
        for mode in ("default", "tuned"):
            contenders[f"connector, {mode}"] = functools.partial(
                spark, world, PEER, "peer.py", mode, DATA, source, f"{peer}_predictions", MODEL, names, table=peer)
    measured = {name: [] for name in contenders}
    for turn in range(rounds):
        names = list(contenders)
        for name in names[turn % len(names):] + names[:turn % len(names)]:
            point = contenders[name]()
            measured[name].append(point)
            seconds = [f"{stage} {point[stage]['seconds']} s" for stage in STAGES if stage in point]
            print(f"    {name}: {', '.join(seconds)}", file=sys.stderr)
    return {"rows": world.rows, "rounds": rounds, "skipped": skipped, "contenders": {
        name: told(points, measured["helenus score"], world.rows) for name, points in measured.items()}}


STAGES = ("first", "warm")


def alone(world, job):
    """Its only stage is the whole process: it is as fast the first time."""
    figures = helenus(world, job)()
    return {"first": figures, "peak_mib": figures["peak_mib"]}


def spark(world, python, program, *arguments, table=None, parquet=None):
    """One driver: its start-up, then the job twice; each time the result is counted, and compared with helenus's."""
    with Driver(python, program, *arguments, environment=variables(world)) as driver:
        point = {"startup": driver.startup}
        for stage in STAGES:
            if table:
                world.empty(table)
            answer, point[stage] = driver.go(world.cassandra)
            found = in_parquet(parquet) if parquet else in_table(world, table)
            check(world, f"{program} {arguments[0]}", answer, *found)
        point["peak_mib"] = round(driver.peak_mib, 1)
    return point


def variables(world):
    return {**world.environment, "HELENUS_BINARY": world.program("helenus"), "PYTHONPATH": str(ROOT / "python"), "CONNECTOR_JARS": str(JARS)}


def in_table(world, job):
    """How many predictions there are, and those of the sample."""
    where = f"SELECT COUNT(*) FROM {DATA}.{job}_predictions WHERE token(id) > %s AND token(id) <= %s"
    ends = [-(2**63) + part * 2**59 for part in range(32)] + [2**63 - 1]
    count = sum(world.session.execute(where, (begin, end)).one()[0] for begin, end in zip(ends, ends[1:]))
    return count, sample_of(world, job)


def sample_of(world, job):
    keys = ", ".join(map(str, range(SAMPLE)))
    return {row.id: row.p_malignant for row in world.session.execute(f"SELECT id, p_malignant FROM {DATA}.{job}_predictions WHERE id IN ({keys})")}


READ = """
import json, sys, pyarrow.compute, pyarrow.dataset
rows = pyarrow.dataset.dataset(sys.argv[1], format="parquet")
first = rows.to_table(["id", "p_malignant"], filter=pyarrow.compute.field("id") < int(sys.argv[2])).to_pydict()
print(json.dumps([rows.count_rows(), first["id"], first["p_malignant"]]))
"""


def in_parquet(folder):
    said = subprocess.run([str(LENDER), "-c", READ, str(folder), str(SAMPLE)], check=True, stdout=subprocess.PIPE, text=True)
    count, keys, values = json.loads(said.stdout)
    return count, dict(zip(keys, values))


def check(world, what, answer, count, sample):
    expected = sample_of(world, "spark_alone")
    alike = sample.keys() == expected.keys() and all(math.isclose(sample[key], expected[key], rel_tol=1e-5, abs_tol=1e-6) for key in expected)
    if count != world.rows or not alike or len(expected) != SAMPLE or answer.get("state", "succeeded") != "succeeded":
        sys.exit(f"{what}: {count} of {world.rows} predictions, the sample {'agrees' if alike else 'differs'}: {answer}")


def told(points, alone, rows):
    million = rows / 1e6
    shown = {"peak_mib": max(point["peak_mib"] for point in points)}
    if "startup" in points[0]:
        shown["startup_s"] = summary([point["startup"]["seconds"] for point in points], 2)
        shown["startup_cpu_s"] = summary([point["startup"]["cpu_s"] for point in points], 2)
    for stage in STAGES:
        if stage in points[0]:
            took = [point[stage] for point in points]
            shown[stage] = {
                "seconds": summary([one["seconds"] for one in took]),
                "rows_per_s": summary([rows / one["seconds"] for one in took], 0),
                "client_cpu_s_per_million": summary([one["client_cpu_s"] / million for one in took], 2),
                "server_cpu_s_per_million": summary([one["server_cpu_s"] / million for one in took], 2),
                # Of the same round: how many times as fast helenus alone is, its own start included.
                "helenus_times": summary([one["seconds"] / other["first"]["seconds"] for one, other in zip(took, alone)], 2),
            }
    return shown
