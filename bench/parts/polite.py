"""What others notice of a run: reads by key at a fixed rate, with and without one."""

import json
import statistics
import subprocess
import sys
import time

from contenders import helenus
from measure import ROOT, in_turn, summary
from world import DATA

RATE = 500
SHARES = (0.75, 0.55, 0.3)
# Little at a time instead of little a second.
NARROW = ("--readers", "2", "--concurrency", "4")


def foreground(world):
    table = world.table("vector")
    job = world.job("lr", "vector")
    run = helenus(world, job)
    # How fast a run is by itself; the first one warms up.
    seconds = statistics.median([run()["seconds"] for _ in range(3)][1:])
    speed = world.rows / seconds
    command = [sys.executable, str(ROOT / "bench" / "reader.py"), world.cassandra.contact, f"{DATA}.{table}"]
    reader = subprocess.Popen(
        [*command, str(world.rows), str(RATE)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )

    def asked():
        reader.stdin.write("\n")
        reader.stdin.flush()
        return json.loads(reader.stdout.readline())

    def beside(go):
        def measured():
            time.sleep(1)
            asked()
            before, began = len(world.cassandra.pauses_ms()), time.monotonic()
            figures = go()
            pauses, took = world.cassandra.pauses_ms()[before:], time.monotonic() - began
            return {**figures, "reads": asked(), "pauses_ms": pauses, "paused": sum(pauses) / 1e3 / took}

        return measured

    def nothing():
        time.sleep(3 if world.options.quick else 15)
        return {"seconds": 0}

    contenders = {"no_run": beside(nothing), "run": beside(run)}
    contenders["narrow"] = beside(helenus(world, job, *NARROW))
    for share in SHARES:
        contenders[f"max_rate_{share}"] = beside(helenus(world, job, "--max-rate", str(round(speed * share))))
    try:
        figures = in_turn(contenders, min(world.options.pairs, 3))
    finally:
        reader.stdin.close()
        reader.wait()
    told = {"rows_per_s_without_reader": round(speed), "reads_per_s": RATE}
    for name, measured in figures.items():
        reads = [one["reads"] for one in measured]
        told[name] = {
            "p50_ms": summary([one["p50_ms"] for one in reads]),
            "p99_ms": summary([one["p99_ms"] for one in reads]),
            "failed": sum(one["failed"] for one in reads),
            "paused": summary([one["paused"] for one in measured]),
            "pause_ms": round(statistics.mean([ms for one in measured for ms in one["pauses_ms"]] or [0]), 1),
        }
        if name != "no_run":
            rows_per_s = world.rows / statistics.median(one["seconds"] for one in measured)
            told[name] |= {
                "rows_per_s": round(rows_per_s),
                "share_of_speed": round(rows_per_s / speed, 3),
                "p99_times": summary([one["p99_ms"] / none["reads"]["p99_ms"] for one, none in zip(reads, figures["no_run"])]),
            }
    return told
