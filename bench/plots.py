"""The page's plots. They have a background of their own, so that they read on light and dark pages."""

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt  # noqa: E402
from matplotlib import ticker  # noqa: E402

HELENUS, CEILING, GOAL, WARNED = "#1b6ca8", "#8d99a6", "#c0392b", "#d9a441"
SHAPES = ("columns", "vector", "mixed")
plt.rcParams.update({
    "figure.facecolor": "#ffffff",
    "axes.facecolor": "#f7f8fa",
    "axes.edgecolor": "#c5ccd3",
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 11,
    "grid.color": "#e3e7eb",
    "font.size": 10,
    "svg.hashsalt": "helenus",
})


def draw(figures, folder):
    """Draws what there are figures for; gives the names of the plots."""
    drawn = []
    for name, plot in PLOTS.items():
        figure = plot(figures)
        if figure:
            figure.set_layout_engine("constrained")
            figure.savefig(folder / f"{name}.svg", metadata={"Date": None})
            plt.close(figure)
            drawn.append(name)
    return drawn


def ratios(figures):
    """Each pair a dot, their median a line."""
    found = {}
    for part, shape in [*((f"end_to_end_{shape}", shape) for shape in SHAPES), ("three_nodes", "3 nodes")]:
        for name, value in figures.get(part, {}).get("contenders", {}).items():
            if "ratio" in value:
                found["mixed" if name == "mixed" else f"{name}\n{shape}"] = value["ratio"]
    if not found:
        return None
    figure, axes = plt.subplots(figsize=(8, 3.6))
    for at, value in enumerate(found.values()):
        axes.plot([at] * len(value["all"]), value["all"], "o", color=HELENUS, alpha=0.55, markersize=6, markeredgewidth=0)
        axes.hlines(value["median"], at - 0.22, at + 0.22, color=HELENUS, linewidth=2.5)
        axes.annotate(f"{value['median']:.2f}", (at + 0.26, value["median"]), va="center", fontsize=9)
    axes.axhline(1, color=CEILING, linewidth=1.5)
    axes.annotate("the ceiling", (len(found) + 0.1, 1), xytext=(0, 3), textcoords="offset points", ha="right", color="#5f6b76", fontsize=9)
    axes.set_xticks(range(len(found)), found)
    axes.set_xlim(-0.5, len(found) + 0.15)
    lows = [min(value["all"]) for value in found.values()]
    axes.set_ylim(min(0.8, min(lows) - 0.05), max(1.1, max(max(value["all"]) for value in found.values()) + 0.05))
    axes.set_ylabel("speed by the ceiling's")
    axes.set_title("helenus against the ceiling: each pair, and their median")
    axes.grid(axis="x", visible=False)
    return figure


def ceiling(figures):
    """Rows a second by each setting, and whether Cassandra logs warnings of it."""
    shapes = [shape for shape in SHAPES if f"ceiling_{shape}" in figures]
    if not shapes:
        return None
    figure, rows = plt.subplots(len(shapes), 4, figsize=(9.5, 2.6 * len(shapes)), sharey="row", squeeze=False)
    for shape, row in zip(shapes, rows):
        for step, axes in zip(figures[f"ceiling_{shape}"]["steps"], row):
            tried = step["tried"]
            best = str(figures[f"ceiling_{shape}"]["best"][step["setting"]])
            for at, (value, one) in enumerate(tried.items()):
                color = WARNED if one["warnings_logged"] else HELENUS if value == best else CEILING
                axes.bar(at, one["rows_per_s"] / 1e3, color=color, width=0.7)
                speeds = [one["rows_per_s"] * one["seconds"]["median"] / seconds / 1e3 for seconds in one["seconds"]["all"]]
                axes.plot([at] * len(speeds), speeds, ".", color="#2c3e50", markersize=4)
            axes.set_xticks(range(len(tried)), tried)
            axes.set_title(step["setting"].replace("_", " "))
            axes.grid(axis="x", visible=False)
        row[0].set_ylabel(f"{shape}\nthousand rows/s")
    handles = [plt.Rectangle((0, 0), 1, 1, color=color) for color in (HELENUS, CEILING, WARNED)]
    figure.legend(handles, ["chosen", "tried", "Cassandra logs warnings of the batches' size"], loc="outside lower center", ncols=3, frameon=False)
    return figure


def versions(figures):
    shapes = [shape for shape in SHAPES if f"versions_{shape}" in figures]
    if not shapes:
        return None
    figure, row = plt.subplots(1, len(shapes), figsize=(4 * len(shapes), 3.3), sharey=True, squeeze=False)
    for shape, axes in zip(shapes, row[0]):
        found = figures[f"versions_{shape}"]["contenders"]
        for offset, who, color in ((-0.19, "helenus", HELENUS), (0.19, "ceiling", CEILING)):
            times = [found[f"{who}_{count}"]["times_one"]["median"] for count in (1, 2, 4)]
            bars = axes.bar([at + offset for at in range(3)], times, width=0.36, color=color, label=who)
            axes.bar_label(bars, fmt="%.2f", fontsize=8, label_type="center", color="white")
        for at, wanted in ((1, 1.6), (2, 2.3)):
            axes.hlines(wanted, at - 0.42, at + 0.42, color=GOAL, linewidth=1.5, label="goal, at most" if at == 1 else None)
        axes.set_xticks(range(3), ["1 version", "2", "4"])
        axes.set_title(shape)
        axes.grid(axis="x", visible=False)
    row[0][0].set_ylabel("times the time of one")
    row[0][0].legend(frameon=False, fontsize=9, loc="upper left")
    return figure


def pending(figures):
    shapes = [shape for shape in SHAPES if f"pending_{shape}" in figures]
    kept = figures.get("pending_versions")
    if not shapes:
        return None
    figure, row = plt.subplots(1, len(shapes) + bool(kept), figsize=(9.5, 3.4), squeeze=False)
    names = {
        "ceiling_read_both": "reading both,\nat a time", "ceiling_read_in_turn": "reading both,\nin turn",
        "unchanged": "nothing\nchanged", "changed_0.1%": "0.1 %\nchanged", "changed_10%": "10 %\nchanged",
    }
    for shape, axes in zip(shapes, row[0]):
        for at, name in enumerate(names):
            value = figures[f"pending_{shape}"][name]["seconds"]
            axes.barh(at, value["median"], color=CEILING if "ceiling" in name else HELENUS, height=0.65)
            axes.plot(value["all"], [at] * len(value["all"]), ".", color="#2c3e50", markersize=4)
        axes.set_yticks(range(len(names)), names.values() if shape == shapes[0] else [""] * len(names))
        axes.invert_yaxis()
        axes.set_xlabel("seconds")
        axes.set_title(shape)
        axes.grid(axis="y", visible=False)
    if kept:
        axes = row[0][-1]
        counts = list(kept["kept"])
        bars = axes.bar(range(len(counts)), [kept["kept"][count]["times_one"]["median"] for count in counts], color=HELENUS, width=0.6)
        axes.bar_label(bars, fmt="%.2f", fontsize=8, label_type="center", color="white")
        for at, wanted in ((1, 1.5), (2, 3)):
            axes.hlines(wanted, at - 0.38, at + 0.38, color=GOAL, linewidth=1.5, label="goal, at most" if at == 1 else None)
        axes.set_xticks(range(len(counts)), counts)
        axes.set_ylim(0, 3.6)
        axes.set_xlabel("versions kept")
        axes.set_ylabel("times the time with one")
        axes.set_title("nothing changed")
        axes.legend(frameon=False, fontsize=9, loc="upper left")
        axes.grid(axis="x", visible=False)
    return figure


def polite(figures):
    """The reads' p99 by the run's speed."""
    found = figures.get("polite")
    if not found:
        return None
    figure, axes = plt.subplots(figsize=(7, 3.6))
    still = found["no_run"]["p99_ms"]["median"]
    axes.axhline(still, color=CEILING, linewidth=1.5, label=f"no run: {still:.1f} ms")
    axes.axhline(2 * still, color=GOAL, linewidth=1.2, linestyle="--", label="twice that")
    runs = {name: value for name, value in found.items() if isinstance(value, dict) and "rows_per_s" in value}
    points = sorted((value["rows_per_s"] / 1e3, value["p99_ms"], name) for name, value in runs.items())
    limited = [(x, y["median"]) for x, y, name in points if name != "narrow"]
    axes.plot(*zip(*limited), color=HELENUS, linewidth=1, alpha=0.5)
    for x, y, name in points:
        axes.vlines(x, y["least"], y["most"], color=HELENUS, linewidth=1.5)
        axes.plot(x, y["median"], "o", color=HELENUS, markersize=7)
        text = {"run": "no --max-rate", "narrow": "2 readers, 4 in flight"}.get(name)
        text = text or f"--max-rate at {float(name.removeprefix('max_rate_')):.0%}"
        axes.annotate(text, (x, y["median"]), xytext=(0, 9), textcoords="offset points", ha="center", fontsize=9)
    axes.set_xlim(0, max(x for x, _, _ in points) * 1.15)
    axes.set_ylim(0, max(y["most"] for _, y, _ in points) * 1.2)
    axes.set_xlabel("the run's speed, thousand rows/s")
    axes.set_ylabel("p99 of 500 reads/s, ms")
    axes.set_title("What a run costs others, and what limiting it gives back")
    axes.legend(frameon=False, fontsize=9, loc="upper left")
    return figure


# How the page names the servers of the part `serving`.
SERVERS = {
    "helenus": "helenus",
    "helenus_oip_json": "helenus, OIP JSON",
    "helenus_oip_binary": "helenus, OIP binary",
    "helenus_stored": "helenus, stored",
    "helenus_scored": "helenus, scored",
    "fastapi": "FastAPI",
    "fastapi_async": "FastAPI, async def",
    "mlserver": "MLServer",
    "mlserver_in_process": "MLServer, parallel_workers 0",
    "grpc": "gRPC",
}


def serving(figures):
    """Requests a second and p99 by the number of connections: given rows above, keys below."""
    found = figures.get("serving")
    if not found:
        return None
    figure, rows = plt.subplots(2, 2, figsize=(9, 6.6), squeeze=False)
    colors = {"helenus": HELENUS, "fastapi": CEILING, "mlserver": WARNED}
    goals = {"given": 5, "by_key": 15}
    for (group, title), row in zip((("given", "one row given"), ("by_key", "by key")), rows):
        for name, points in found[group].items():
            # Of one family one colour; its first is drawn through.
            style = dict(color=colors[name.split("_")[0]], linestyle="-" if name in (*colors, "helenus_stored") else "--",
                         marker={"json": "s", "binary": "^", "async": "s"}.get(name.split("_")[-1], "o"))
            for axes, field in zip(row, ("rps", "p99_ms")):
                values = [points[connections][field] for connections in points]
                axes.plot(range(len(points)), [value["median"] for value in values], markersize=5, linewidth=1.5, label=SERVERS[name], **style)
                for at, value in enumerate(values):
                    axes.vlines(at, value["least"], value["most"], color=style["color"], linewidth=1)
        for axes, what in zip(row, ("requests/s", "p99, ms")):
            axes.set_yscale("log")
            axes.yaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
            axes.yaxis.set_major_formatter(lambda value, _: f"{value:,g}")
            axes.yaxis.set_minor_formatter(ticker.NullFormatter())
            axes.set_xticks(range(len(points)), points)
            axes.set_xlabel("connections")
            axes.set_title(f"{title}: {what}")
        row[1].axhline(goals[group], color=GOAL, linewidth=1.2, linestyle=":", label="goal at c = 64")
        row[1].legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1.01, 0.5))
    return figure


PLOTS = {"ratios": ratios, "ceiling": ceiling, "versions": versions, "pending": pending, "polite": polite, "serving": serving}
