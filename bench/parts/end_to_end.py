"""Runs over whole tables, against the ceiling."""

from contenders import ceiling, helenus
from measure import ROOT, in_turn, ratios, summary, told
from world import LR

# Predictions of a batch: far beyond what Cassandra logs a warning of.
WARNED = 120


def against_ceiling(world, shape, models):
    """Every row read, scored and written, the prediction table empty before."""
    world.table(shape)
    jobs = {model: world.job(model, shape) for model in models}
    contenders = {model: helenus(world, job) for model, job in jobs.items()}
    contenders["ceiling"] = ceiling(world, "both", shape, jobs[models[0]])
    contenders["ceiling_differing"] = ceiling(world, "both", shape, jobs[models[0]], differ=True)
    contenders["ceiling_warned"] = ceiling(world, "both", shape, jobs[models[0]], batch=WARNED)
    figures = in_turn(contenders, world.options.pairs)
    return {
        "rows": world.rows,
        "ceiling_settings": world.tuned(shape),
        "contenders": {
            name: {
                **told(measured, world.rows),
                **({} if name.startswith("ceiling") else {"ratio": ratios(figures, name, "ceiling")}),
            }
            for name, measured in figures.items()
        },
        "ceiling_warned": ratios(figures, "ceiling_warned", "ceiling"),
        "ceiling_differing": ratios(figures, "ceiling_differing", "ceiling"),
        "runtime_version": figures[models[0]][0]["answer"]["runtime_version"],
    }


def read_write_only(world):
    """The ceiling reading, the ceiling writing, and helenus looking for what is pending where
    nothing is stored: all reading and hashing, no scoring and no writing."""
    told_of = {}
    for shape in ("columns", "vector"):
        world.table(shape)
        job = world.job("lr", shape)
        world.empty(job)
        contenders = {
            "ceiling_write": ceiling(world, "write", shape, job),
            "ceiling_read": ceiling(world, "read", shape, job),
            "helenus_read": helenus(world, job, "--dry-run"),
        }
        figures = in_turn(contenders, world.options.pairs)
        told_of[shape] = {name: told(measured, world.rows) for name, measured in figures.items()}
        told_of[shape]["helenus_read"]["ratio"] = ratios(figures, "helenus_read", "ceiling_read")
    return told_of


def versions(world, shape):
    """1, 2 and 4 versions of a model in one pass, over half of the rows."""
    with world.of(world.rows // 2):
        return {"rows": world.rows, "contenders": passes(world, shape, world.table(shape, name=f"half_{shape}"))}


def passes(world, shape, table):
    model = f"four_{shape}"
    world.push(model, shape, *copies(world, 4))
    contenders = {}
    for count in (1, 2, 4):
        job = world.job(model, shape, name=f"pass{count}_{shape}", table=table, versions=range(1, count + 1))
        contenders[f"helenus_{count}"] = helenus(world, job, scored=world.rows * count)
        contenders[f"ceiling_{count}"] = ceiling(world, "both", shape, job, table, versions=count)
    figures = in_turn(contenders, world.options.pairs)
    times = lambda name, one: summary([a["seconds"] / b["seconds"] for a, b in zip(figures[name], figures[one])])
    return {
        name: {**told(measured, world.rows), "times_one": times(name, name.split("_")[0] + "_1")}
        for name, measured in figures.items()
    }


def copies(world, count):
    """The logistic regression as files that differ in their description only, so that each is a
    version with weights of its own."""
    folder = ROOT / "target" / "bench"
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(1, count + 1):
        text = f"copy {number}".encode()
        # ModelProto.doc_string is field 6; a field that follows is merged.
        file = folder / f"copy{number}.onnx"
        file.write_bytes((ROOT / LR).read_bytes() + bytes([6 << 3 | 2, len(text)]) + text)
        yield file
