#!/usr/bin/env python3
"""The benchmark: `make bench`, or a part of it.

    scripts/setup --bench
    .dev/bench-venv/bin/python bench/run.py                        everything, over an hour
    .dev/bench-venv/bin/python bench/run.py --quick                a smoke run, some minutes
    .dev/bench-venv/bin/python bench/run.py --only end_to_end      all parts whose names begin so

Starts a Cassandra of its own and wipes it at the end. Each part leaves a JSON file in --results, and
the page there is made anew of all that it holds. Stop everything else on the machine before.
"""

import argparse
import contextlib
import datetime
import hashlib
import json
import os
import pathlib
import platform
import re
import shutil
import signal
import subprocess
import sys
import time

import page
from measure import ROOT, wipe
from parts import PARTS
from world import World, build


def options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=500_000, help="of each table, up to 10,000,000 (default: 500,000)")
    parser.add_argument("--seed", type=int, default=1, help="of the tables' rows (default: 1)")
    parser.add_argument("--pairs", type=int, default=5, help="rounds in which all contenders take a turn (default: 5)")
    parser.add_argument("--only", action="append", metavar="PART", help=f"may be repeated; {', '.join(PARTS)}")
    parser.add_argument("--long", action="store_true", help="memory at 5,000,000 rows, too")
    parser.add_argument("--quick", action="store_true", help="20,000 rows, one round, results in target/bench/quick")
    parser.add_argument("--programs", type=pathlib.Path, default=ROOT / "target" / "release",
                        help="folder with helenus, examples/ceiling and examples/fill (default: target/release, built if missing)")
    parser.add_argument("--wheel", type=pathlib.Path, help="that the part adoption installs (default: built with the release profile)")
    parser.add_argument("--results", type=pathlib.Path, help="default: bench/results")
    parser.add_argument("--name", default=f"bench-{os.getpid()}", help="of the Cassandra instance")
    parser.add_argument("--keep", action="store_true", help="do not wipe it: another call with the same --name goes on with its tables")
    asked = parser.parse_args()
    if asked.quick:
        asked.rows, asked.pairs = min(asked.rows, 20_000), 1
    if not 1_000 <= asked.rows <= 10_000_000 or asked.pairs < 1:
        parser.error("--rows is 1,000 to 10,000,000, --pairs at least 1")
    asked.results = (asked.results or ROOT / ("target/bench/quick" if asked.quick else "bench/results")).resolve()
    asked.programs, asked.wheel = asked.programs.resolve(), asked.wheel and asked.wheel.resolve()
    asked.parts = [name for name in PARTS if not asked.only or any(name.startswith(begin) for begin in asked.only)]
    unknown = [begin for begin in asked.only or [] if not any(name.startswith(begin) for name in PARTS)]
    if unknown:
        parser.error(f"no part begins with {', '.join(unknown)}; there are {', '.join(PARTS)}")
    # Not after an hour.
    missing = [tool for tool in ("wrk", "h2load") if "serving" in asked.parts and not shutil.which(tool)]
    if missing:
        parser.error(f"the part serving needs {' and '.join(missing)}: apt-get install wrk nghttp2-client")
    return asked


def digest(program):
    with open(program, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]


def surroundings(world):
    """Where it was measured, and of what."""
    processor = re.search(r"model name\s*:\s*(.*)", pathlib.Path("/proc/cpuinfo").read_text())
    memory = int(pathlib.Path("/proc/meminfo").read_text().split()[1]) / 2**20
    said = lambda *command: subprocess.run(command, stdout=subprocess.PIPE, text=True, cwd=ROOT).stdout.strip()
    release = world.session.execute("SELECT release_version FROM system.local").one().release_version
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "machine": {
            "processor": processor.group(1) if processor else platform.machine(),
            "cores": os.cpu_count(),
            "memory_gib": round(memory, 1),
            "kernel": platform.release(),
        },
        "versions": {
            "helenus": said(world.program("helenus"), "--version").split()[-1],
            # --programs may be of another commit.
            "programs_sha256": {name: digest(world.program(name)) for name in ("helenus", "ceiling")},
            "commit": said("git", "describe", "--always", "--dirty", "--exclude", "*"),
            "cassandra": release,
            "python": platform.python_version(),
        },
        "rows": world.rows,
        "seed": world.options.seed,
        "pairs": world.options.pairs,
    }


def measure(world, name):
    print(f"{name}", file=sys.stderr)
    began = time.monotonic()
    figures = PARTS[name][0](world)
    took = round(time.monotonic() - began)
    print(f"{name}: {took} s", file=sys.stderr)
    file = world.options.results / f"{name}.json"
    file.write_text(json.dumps({"part": name, **surroundings(world), "took_s": took, "figures": figures}, indent=1) + "\n")


def main():
    asked = options()
    # A signal unwinds like an error does: what was started is stopped.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    build(asked.programs)
    asked.results.mkdir(parents=True, exist_ok=True)
    for nodes in sorted({PARTS[name][1] for name in asked.parts}):
        instance = asked.name if nodes == 1 else f"{asked.name}-{nodes}"
        try:
            with contextlib.closing(World(asked, instance, nodes)) as world:
                for name in asked.parts:
                    if PARTS[name][1] == nodes:
                        measure(world, name)
        finally:
            if not asked.keep:
                wipe(instance)
    page.write(asked.results)
    print(f"{asked.results / 'README.md'}", file=sys.stderr)


if __name__ == "__main__":
    main()
