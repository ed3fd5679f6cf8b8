"""Runs that find most of the predictions as they should be."""

import itertools

from contenders import ceiling, helenus
from measure import in_turn, ratios, summary, told

KEPT = (1, 5, 20)


def changed(world, shape):
    """Nothing changed, a thousandth of the rows, a tenth; against reading both tables."""
    table = world.table(shape, name=f"changing_{shape}")
    job = world.job("lr", shape, name=f"changing_{shape}", table=table)
    helenus(world, job)()
    seeds = itertools.count(world.options.seed + 1)

    def change(rows):
        # Another seed each time: the same values again would be no change.
        return lambda: world.fill(shape, table, "--change", str(rows), "--seed", str(next(seeds)))

    few, many = max(world.rows // 1000, 1), world.rows // 10
    contenders = {
        "unchanged": helenus(world, job, empty=False, scored=0),
        "changed_0.1%": helenus(world, job, empty=False, scored=few, before=change(few)),
        "changed_10%": helenus(world, job, empty=False, scored=many, before=change(many)),
        "ceiling_read_both": ceiling(world, "read-both", shape, job, table=table),
        "ceiling_read_in_turn": ceiling(world, "read-in-turn", shape, job, table=table),
    }
    figures = in_turn(contenders, world.options.pairs)
    reading = [name for name in contenders if name.startswith("ceiling")]
    better = [min((figures[name][i] for name in reading), key=lambda one: one["seconds"]) for i in range(world.options.pairs)]
    figures["ceiling"] = better
    return {
        name: {**told(measured, world.rows), **({} if "ceiling" in name else {"ratio": ratios(figures, name, "ceiling")})}
        for name, measured in figures.items()
    }


def versions_kept(world):
    """Nothing changed, beside predictions of more and more versions that the job does not follow."""
    with world.of(world.rows // 5):
        return {"rows": world.rows, "kept": beside(world, world.table("vector", name="kept"))}


def beside(world, table):
    contenders = {}
    for kept in KEPT:
        job = world.job("lr", "vector", name=f"kept{kept}", table=table)
        ceiling(world, "both", "vector", job, table, versions=kept)()
        # Over the ceiling's constants for version 1.
        helenus(world, job, "--scope", "all", empty=False)()
        contenders[kept] = helenus(world, job, empty=False, scored=0)
    figures = in_turn(contenders, world.options.pairs)
    times = lambda kept: summary([a["seconds"] / b["seconds"] for a, b in zip(figures[kept], figures[1])])
    return {kept: {**told(figures[kept], world.rows), "times_one": times(kept)} for kept in KEPT}
