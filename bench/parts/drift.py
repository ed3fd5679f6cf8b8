"""What profiling costs a run: runs with and without it, in turn."""

from contenders import helenus
from measure import in_turn, ratios, summary, told

OFF = "\n[drift]\nprofile = false\n"


def profiles(world):
    """A run that scores all rows, and one that finds nothing changed, each with profiles (bins from an
    earlier run: the round that is dropped) and without."""
    return {shape: {"all": scoring(world, shape), "unchanged": reading(world, shape)} for shape in ("columns", "vector")}


def scoring(world, shape):
    world.table(shape)
    with_profiles, without = jobs(world, shape, shape, "drift")
    return compared(world, {"profiled": helenus(world, with_profiles), "plain": helenus(world, without)})


def reading(world, shape):
    table = world.table(shape, name=f"drifting_{shape}")
    names = jobs(world, shape, table, "still")
    for name in names:
        helenus(world, name)()
    profiled, plain = (helenus(world, name, empty=False, scored=0) for name in names)
    return compared(world, {"profiled": profiled, "plain": plain})


def jobs(world, shape, table, prefix):
    return [
        world.job("lr", shape, name=f"{prefix}_{shape}", table=table),
        world.job("lr", shape, name=f"{prefix}_{shape}_off", table=table, extra=OFF),
    ]


def compared(world, contenders):
    figures = in_turn(contenders, world.options.pairs)
    return {
        "profiled": {**told(figures["profiled"], world.rows), "ratio": ratios(figures, "profiled", "plain")},
        "plain": told(figures["plain"], world.rows),
        "share": summary(shares(figures["profiled"], figures["plain"])),
    }


def shares(profiled, plain):
    """What the client does more with profiles, by all that both sides do without, round by round: of a run that keeps
    the machine busy, profiles take that share of its time. Steadier than wall times, which move by more than that."""
    rounds = zip(profiled, plain)
    return [(more["client_cpu_s"] - less["client_cpu_s"]) / (less["client_cpu_s"] + less["server_cpu_s"]) for more, less in rounds]
