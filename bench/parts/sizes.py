"""Memory by the size of the table."""

from contenders import helenus
from measure import told

LONG = 5_000_000


def memory(world):
    sizes = {}
    world.table("vector")
    usual = helenus(world, world.job("lr", "vector"))
    # Several times: how far it moves by itself.
    sizes[world.rows] = told([usual() for _ in range(min(3, world.options.pairs))], world.rows)
    if world.options.long:
        with world.of(LONG):
            job = world.job("lr", "vector", name="long", table=world.table("vector", name="long"))
            sizes[LONG] = told([helenus(world, job)()], LONG)
    return sizes
