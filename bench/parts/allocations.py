"""Heap allocations for each further row, counted by a library that stands before the C library's."""

import os
import subprocess

from contenders import ceiling, helenus
from measure import ROOT

SHAPES = ("columns", "vector")


def each_row(world):
    """The difference of two runs, one over a table half as long: what a process allocates once drops
    out, what it allocates for a page, a batch or a split stays. The ceiling's are the driver's own."""
    library = ROOT / "target" / "bench" / "allocations.so"
    library.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(["cc", "-O2", "-shared", "-fPIC", "-o", library, ROOT / "bench" / "allocations.c"], check=True)
    told = {}
    for shape in SHAPES:
        found = {"helenus": [], "ceiling": []}
        for name, rows in ((shape, world.rows), (f"half_{shape}", world.rows // 2)):
            with world.of(rows):
                table = world.table(shape, name=name)
                job = world.job("lr", shape, name=f"lr_{shape}" if name == shape else name, table=table)
                found["helenus"].append(counted(library, helenus(world, job)))
                found["ceiling"].append(counted(library, ceiling(world, "both", shape, job, table)))
        told[shape] = {who: round((whole - half) / (world.rows - world.rows // 2), 4) for who, (whole, half) in found.items()}
    return told


def counted(library, go):
    """How many allocations what `go` runs has made."""
    file = library.with_suffix(".count")
    preloaded = {"LD_PRELOAD": str(library), "BENCH_ALLOCATIONS": str(file)}
    os.environ.update(preloaded)
    try:
        go()
    finally:
        for name in preloaded:
            del os.environ[name]
    return int(file.read_text())
