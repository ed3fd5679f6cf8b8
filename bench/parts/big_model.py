"""Memory of a model whose weights are large."""

import subprocess
import sys

from contenders import helenus
from measure import ROOT, told

ROWS = 2_000


def memory(world):
    """Peak resident size with a large model, above that with a small one, over the same rows."""
    mib = 10 if world.options.quick else 200
    file = ROOT / "target" / "bench" / f"deep{mib}.onnx"
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        # A process of its own, so that its memory goes when it ends.
        subprocess.run([sys.executable, str(ROOT / "bench" / "deep_model.py"), str(mib), str(file)], check=True)
    with world.of(ROWS):
        table = world.table("columns", name="short")
    world.push(f"deep{mib}", "columns", file)
    deep = world.job(f"deep{mib}", "columns", name=f"deep{mib}", table=table)
    small = world.job("lr", "columns", name="shallow", table=table)
    rounds = range(min(3, world.options.pairs))
    figures = {
        name: told([helenus(world, job, scored=ROWS)() for _ in rounds], ROWS) for name, job in (("deep", deep), ("small", small))
    }
    size = file.stat().st_size / 2**20
    above = figures["deep"]["peak_mib"] - figures["small"]["peak_mib"]
    return {"rows": ROWS, "model_mib": round(size, 1), "above_mib": round(above, 1), "times_model": round(above / size, 2), **figures}
