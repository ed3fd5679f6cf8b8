"""Memory by the size of the table."""

from contenders import helenus
from measure import told

LONG = 5_000_000


def memory(world):
    sizes = {}
    whole = world.rows
    for rows in [whole] + ([LONG] if world.options.long else []):
        world.rows = rows
        table = world.table("vector", rows=rows, name="vector" if rows == whole else "long")
        job = world.job("lr", "vector", name="lr_vector" if rows == whole else "long", table=table)
        go = helenus(world, job)
        # The smaller one several times: how far it moves by itself.
        sizes[rows] = told([go() for _ in range(min(3, world.options.pairs) if rows == whole else 1)], rows)
    world.rows = whole
    return sizes
