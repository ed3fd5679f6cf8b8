"""What the client's CPU seconds are spent on: samples of call stacks, by what they are for."""

import collections
import pathlib
import re
import shutil
import subprocess
import sys

from measure import ROOT, run

SHAPES = ("columns", "vector")
# A stack is for what its innermost frame of one of these is for.
PURPOSES = [
    ("the model, in ONNX Runtime", r"libonnxruntime"),
    ("what is pending: canonical bytes and their hashes", r"helenus::domain::(hash|canonical)|xxhash"),
    ("statistics of the outputs", r"helenus::domain::statistics|sketches_ddsketch|engine::run::tally"),
    ("reading: pages, cells, keys, the walk", r"helenus::(store::(scan|raw::Page|selects)|engine::run::(walk|stored|source|pending)|domain::(key|cells|texts|cast))"),
    ("writing: mutations, batches, their futures", r"helenus::(store::(mutations|predictions|gate|raw::RawValues)|engine::run::(write|batch|lineage|lane|split)|domain::(outputs|limiter))"),
    ("around the model: tensors in and out", r"helenus::(scorer|domain::tensor)"),
    ("helenus, everything else", r"helenus::"),
    ("the driver", r"scylla"),
]
# Only of stacks that have none of the above: a driver's task waits and wakes in the runtime's frames.
UNDERNEATH = [
    ("the driver and the async runtime: sockets", r"sendto|recvfrom|tokio::net|__send|tcp_"),
    ("the driver and the async runtime: waiting, waking, moving futures", r"tokio|futures|parking_lot|tracing"),
]
REST = "the process's start and end"


def client(world):
    if not shutil.which("perf"):
        sys.exit("profile needs perf (Debian: linux-perf); leave it out with --only")
    return {shape: profiled(world, shape) for shape in SHAPES}


def profiled(world, shape):
    world.table(shape)
    job = world.job("lr", shape)
    world.empty(job)
    data = ROOT / "target" / "bench" / "perf.data"
    data.parent.mkdir(parents=True, exist_ok=True)
    record = ["perf", "record", "--quiet", "--freq", "499", "--call-graph", "dwarf,16384", "--output", data]
    score = [world.program("helenus"), "--output", "json", "score", job]
    # The first run warms up.
    for command in (score, [*record, *score]):
        world.empty(job)
        figures = run(command, world.cassandra, world.environment)
    samples = stacks(data)
    spent = collections.Counter(purpose(frames) for frames in samples)
    leaves = collections.Counter(frames[0] for frames in samples if frames)
    share = lambda count: round(count / len(samples), 4)
    return {
        "samples": len(samples),
        "rows": figures["answer"]["source_rows"],
        "by_purpose": {name: share(count) for name, count in spent.most_common()},
        "functions": {name: share(count) for name, count in leaves.most_common(25)},
    }


def stacks(data: pathlib.Path):
    """Each sample's frames, innermost first, as `symbol (library)`."""
    command = ["perf", "script", "--input", data, "--no-inline", "--fields", "comm,ip,sym,dso"]
    text = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout
    samples = []
    for block in text.split("\n\n"):
        frames = [re.sub(r"^\s+[0-9a-f]+ ", "", line) for line in block.splitlines()[1:]]
        if frames:
            samples.append([re.sub(r"\((?:.*/)?([^/()]*)\)$", r"(\1)", frame) for frame in frames])
    return samples


def purpose(frames):
    for purposes in (PURPOSES, UNDERNEATH):
        for frame in frames:
            for name, pattern in purposes:
                if re.search(pattern, frame):
                    return name
    return REST
