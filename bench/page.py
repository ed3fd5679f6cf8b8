"""The results page: what each goal came to, and tables and plots of all parts, from their JSON files."""

import json
import textwrap

import plots
from goals import goals
from measure import summary


def write(folder):
    parts = {file.stem: json.loads(file.read_text()) for file in sorted(folder.glob("*.json"))}
    if not parts:
        return
    figures = {name: part["figures"] for name, part in parts.items()}
    drawn = plots.draw(figures, folder)
    notes = folder / "notes.md"
    # Written by hand: what is particular to these results.
    sections = [heading(parts), *([notes.read_text().strip()] if notes.exists() else []), goal_table(figures)]
    for title, names, table, plot in SECTIONS:
        present = [name for name in names if name in figures]
        if present:
            rows = [row for name in present for row in table(name, figures[name])]
            image = [f"![{title}]({plot}.svg)"] if plot in drawn else []
            sections.append("\n\n".join([f"## {title}", *image, markdown(rows)]))
    sections.append(wrapped("Each part's file has all single figures: " + ", ".join(f"[{name}]({name}.json)" for name in parts) + "."))
    (folder / "README.md").write_text("\n\n".join(sections) + "\n")


def heading(parts):
    last = max(parts.values(), key=lambda part: part["date"])
    dates = sorted({part["date"] for part in parts.values()})
    commits = sorted({part["versions"]["commit"] for part in parts.values()})
    machine, versions = last["machine"], last["versions"]
    return (
        "# Results\n\n"
        "Made by `make bench` ([what each figure means](../README.md)); do not edit.\n\n"
        + wrapped(f"{machine['processor']}, {machine['cores']} cores, {machine['memory_gib']} GiB, Linux {machine['kernel']}; "
        f"Cassandra {versions['cassandra']} on the same cores; helenus {versions['helenus']} ({', '.join(commits)}); "
        f"{dates[0]} to {dates[-1]}. {max(part['rows'] for part in parts.values()):,} rows, medians of "
        f"{describe_pairs(parts)} rounds.")
    )


def wrapped(text):
    return textwrap.fill(text, 100, break_long_words=False, break_on_hyphens=False)


def describe_pairs(parts):
    counts = sorted({part["pairs"] for part in parts.values()})
    return " or ".join(map(str, counts))


def markdown(rows):
    head, *body = rows
    # Parts of one section have one head.
    body = [row for row in body if row != head]
    lines = ["| " + " | ".join(map(str, row)) + " |" for row in [head, ["---"] * len(head), *body]]
    return "\n".join(lines)


def goal_table(figures):
    rows = [["what", "goal", "measured", ""]]
    rows += [[goal.what, goal.wanted, goal.measured, goal.outcome.value] for goal in goals(figures)]
    return "## Goals\n\n" + markdown(rows)


def spread(value, digits=2):
    return f"{value['median']:.{digits}f} ({value['least']:.{digits}f} to {value['most']:.{digits}f})"


def contender(value):
    return [
        f"{value['seconds']['median']:.2f}",
        f"{value['rows_per_s']:,}",
        value["client_cpu_s_per_million"],
        value["server_cpu_s_per_million"],
        round(value["peak_mib"]),
        round(value["wire_mib"]),
    ]


HEAD = ["", "", "s", "rows/s", "client CPU s per million rows", "server CPU s per million rows", "peak RSS, MiB", "MiB on the wire"]


def end_to_end(name, figures):
    rows = [[*HEAD, "speed by the ceiling's", "by the ceiling's whose batches Cassandra warns of"]]
    warned = figures["contenders"]["ceiling_warned"]["seconds"]["all"]
    for one, value in figures["contenders"].items():
        ratio = figures[one] if one in figures else value.get("ratio")
        beyond = summary([other / own for own, other in zip(value["seconds"]["all"], warned)]) if "ratio" in value else None
        told = [spread(one, 3) if one else "" for one in (ratio, beyond)]
        rows.append([part_of(name), one.replace("_", " "), *contender(value), *told])
    return rows


def part_of(name):
    return "three nodes" if name == "three_nodes" else name.split("_")[-1]


def grid(name, figures):
    rows = [["", "setting", "value", "rows/s", "spread, s", "warnings logged a run", "chosen"]]
    for step in figures["steps"]:
        for value, tried in step["tried"].items():
            chosen = "yes" if str(figures["best"][step["setting"]]) == value else ""
            row = [f"{tried['rows_per_s']:,}", spread(tried["seconds"]), f"{tried['warnings_logged']:,}", chosen]
            rows.append([part_of(name), step["setting"], value, *row])
    return rows


def by_shape(_, figures):
    rows = [[*HEAD, "speed by the ceiling's"]]
    for shape, contenders in figures.items():
        for one, value in contenders.items():
            rows.append([shape, one, *contender(value), spread(value["ratio"]) if "ratio" in value else ""])
    return rows


def versions(name, figures):
    rows = [[*HEAD, "times the time of one"]]
    for one, value in figures["contenders"].items():
        rows.append([f"{part_of(name)}, {figures['rows']:,} rows", one, *contender(value), spread(value["times_one"])])
    return rows


def pending(name, figures):
    rows = [[*HEAD, "speed by the better ceiling's"]]
    for one, value in figures.items():
        if one != "ceiling":
            rows.append([part_of(name), one, *contender(value), spread(value["ratio"]) if "ratio" in value else ""])
    return rows


def kept(_, figures):
    rows = [[*HEAD, "times the time with one"]]
    for count, value in figures["kept"].items():
        rows.append([f"{figures['rows']:,} rows", f"{count} kept", *contender(value), spread(value["times_one"])])
    return rows


def iterations(_, figures):
    rows = [HEAD]
    rows += [[f"{figures['predictions']:,} predictions", one, *contender(value)] for one, value in figures["passes"].items()]
    return rows


def workers(_, figures):
    rows = [[*HEAD, "speed by one's"]]
    rows += [["", f"{count} processes", *contender(value), spread(value["speed_of_one"])] for count, value in figures.items()]
    return rows


def memory(_, figures):
    return [HEAD, *(["", f"{int(count):,} rows", *contender(value)] for count, value in figures.items())]


def allocations(_, figures):
    return [["", "helenus", "the ceiling"], *([shape, value["helenus"], value["ceiling"]] for shape, value in figures.items())]


def big_model(_, figures):
    deep, small = figures["deep"], figures["small"]
    return [
        ["model, MiB", "peak RSS, MiB", "with the small model", "above that", "times the model"],
        [figures["model_mib"], deep["peak_mib"], small["peak_mib"], figures["above_mib"], figures["times_model"]],
    ]


def drift(_, figures):
    """Runs with profiles and without."""
    rows = [["table", "run", "seconds with", "without", "its speed by the other's", "client CPU s per million, with / without", "of all CPU time"]]
    for shape, runs in figures.items():
        for name, value in runs.items():
            one, other = value["profiled"], value["plain"]
            cpu = f"{one['client_cpu_s_per_million']} / {other['client_cpu_s_per_million']}"
            share = f"{100 * value['share']['median']:.2f} % ({100 * value['share']['least']:.2f} to {100 * value['share']['most']:.2f})"
            what = {"all": "scores all rows", "unchanged": "nothing changed"}[name]
            rows.append([shape, what, spread(one["seconds"]), spread(other["seconds"]), spread(one["ratio"], 3), cpu, share])
    return rows


def control(_, figures):
    return [
        ["splits", "a run over 1,000 rows, s", "a run over all rows, s", "share"],
        [figures["splits"], spread(figures["bare_run_seconds"], 3), f"{figures['whole_run_seconds']:.2f}",
         f"{100 * figures['share']['median']:.2f} %"],
    ]


def console(_, figures):
    rows = [["page", "median, ms", "slowest of five, ms", "KiB", "reads"]]
    for page, value in figures["pages"].items():
        rows.append([page, value["median_ms"], value["max_ms"], f"{value['bytes'] / 1024:.0f}", value["reads"]])
    return rows


def latency(_, figures):
    warm, idle = figures["warm_s"], figures["idle_statements_per_s"]
    rows = [["", ""]]
    rows.append(["request to prediction, p50 / max", f"{warm['p50']} / {warm['max']} s"])
    rows.append(["the first request of a worker", f"{figures['cold_s']} s"])
    for count, modes in idle.items():
        each = ", ".join(f"{mode} {rate}" for mode, rate in modes.items() if mode != "all")
        rows.append([f"statements a second of {count} idle worker{'s' if count != '1' else ''}", f"{modes['all']} ({each})"])
    return rows


def polite(_, figures):
    rows = [["", "rows/s", "of its speed alone", "reads' p50, ms", "reads' p99, ms", "times p99 without a run", "Cassandra stood still for its GC", "a pause"]]
    for name, value in figures.items():
        if isinstance(value, dict):
            speed = [f"{value['rows_per_s']:,}", value["share_of_speed"]] if "rows_per_s" in value else ["", ""]
            times = spread(value["p99_times"]) if "p99_times" in value else ""
            stopped = [f"{100 * value['paused']['median']:.1f} %", f"{value['pause_ms']} ms"]
            rows.append([name.replace("_", " "), *speed, spread(value["p50_ms"]), spread(value["p99_ms"]), times, *stopped])
    return rows


def profile(_, figures):
    rows = [["where the client's CPU goes", *(f"{shape}, {value['samples']} samples" for shape, value in figures.items())]]
    for name in sorted({name for value in figures.values() for name in value["by_purpose"]}):
        rows.append([name, *(f"{100 * value['by_purpose'].get(name, 0):.1f} %" for value in figures.values())])
    # A row of its own for each function that is among the first ten of a table.
    first = dict.fromkeys(name for value in figures.values() for name in list(value["functions"])[:10])
    for name in first:
        rows.append([f"`{name}` itself", *(f"{100 * value['functions'].get(name, 0):.1f} %" for value in figures.values())])
    return rows


def serving(_, figures):
    """Every point of all servers."""
    rows = [["", "", "connections", "requests/s", "p50, ms", "p99, ms", "server's CPU a request, us", "Cassandra's, us", "failed", "helenus has so many times its requests/s"]]
    for group in ("given", "by_key"):
        for name, points in figures[group].items():
            for connections, value in points.items():
                ratios = {own: peers[name][connections] for own, peers in figures["ratios"][group].items() if name in peers}
                by = "; ".join(f"{serving_name(own)} {spread(ratio, 1)}" for own, ratio in ratios.items() if "oip" not in own)
                database = f"{value['cassandra_cpu_us']['median']:.0f}" if group == "by_key" else ""
                rows.append([group.replace("_", " "), serving_name(name), connections, f"{value['rps']['median']:,.0f}",
                             f"{value['p50_ms']['median']:.2f}", f"{value['p99_ms']['median']:.2f}", f"{value['cpu_us']['median']:.0f}",
                             database, value["failed"], by])
    return rows


def serving_limits(_, figures):
    over, swap, memory = figures["overload"], figures["swap"], figures["rss_mib"]
    rows = [["", ""]]
    rows.append([f"{over['connections']} connections: p99 of accepted requests", f"{spread(over['accepted_p99_ms'])} ms; {spread(over['times'])} times that with a quarter of them"])
    rows.append(["requests refused (429) / failed", f"{100 * over['refused']:.1f} % / {over['failed']}"])
    rows.append(["RSS before, and after each round", f"{over['rss_mib']['before']} MiB; {', '.join(map(str, over['rss_mib']['after']))} MiB"])
    if figures["grpc"]:
        for name, what in (("rest", "Open Inference Protocol, REST, binary"), ("grpc", "the same over gRPC")):
            one = figures["grpc"][name]
            rows.append([f"{what}, c = {figures['grpc']['connections']}, by h2load",
                         f"{one['rps']['median']:,.0f} requests/s, p99 {one['p99_ms']['median']:.2f} ms, {one['cpu_us']['median']:.0f} us of CPU a request, {one['failed']} failed"])
        rows.append(["gRPC's requests/s by REST's", spread(figures["grpc"]["ratio"])])
    rows.append(["an alias moves: end of the command until the new version answers", f"{swap['served_s']} s"])
    rows.append(["requests meanwhile / failed", f"{swap['requests']:,} / {swap['failed']}"])
    servers = ", ".join(f"{serving_name(name)} {size:.0f}" for name, size in memory.items() if name not in ("worker", "over_worker"))
    rows.append(["RSS after the load, MiB", f"{servers}; a worker at rest {memory['worker']:.0f}"])
    rows.append(["tokens required of helenus", "yes" if figures["auth"] else "no"])
    for name, versions in figures["versions"].items():
        rows.append([f"{serving_name(name)}'s versions", ", ".join(f"{package} {version}" for package, version in versions.items())])
    for name, why in figures["skipped"].items():
        rows.append([f"not measured: {serving_name(name)}", why])
    return rows


def stream(_, figures):
    """Topic to topic, at full speed and at a rate."""
    rows = [["", "messages/s", "CPU a message, us", "the broker's, us", "peak RSS, MiB", "p50 / p99 at a rate, ms", "helenus scores so many times its messages a CPU second"]]
    for name, value in figures["throughput"].items():
        paced, ratio = figures["latency"].get(name), figures["messages_per_cpu_by"].get(name)
        rows.append([name, f"{spread(value['messages_per_s'], 0)}", f"{value['cpu_us']['median']:.0f}", f"{value['broker_cpu_us']['median']:.0f}",
                     f"{value['rss_mib']['median']:.0f}", f"{paced['p50_ms']} / {paced['p99_ms']}" if paced else "", spread(ratio, 1) if ratio else ""])
    stored = figures["stored"]
    rows.append([f"message to stored prediction, {stored['rate']} a second", f"p50 {stored['p50_s']} s, p99 {stored['p99_s']} s", "", "", "", "", ""])
    rows += [[f"not measured: {name}", why, "", "", "", "", ""] for name, why in figures["skipped"].items()]
    return rows


def documents(_, figures):
    """Images and texts, each beside Python."""
    rows = [["", "", "a second", "client CPU each, ms", "Cassandra's, ms", "peak RSS, MiB", "helenus has so many times its speed", "helenus's CPU by its"]]
    for what in ("images", "texts"):
        for name, value in figures[what]["contenders"].items() if what in figures else ():
            by = [spread(value[field]) if field in value else "" for field in ("helenus_speed", "helenus_cpu")]
            cpu = [f"{value[field]['median']:.3f}" for field in ("cpu_ms", "server_cpu_ms")]
            rows.append([f"{figures[what]['rows']:,} {what}", name, spread(value["rows_per_s"], 1), *cpu, round(value["peak_mib"]), *by])
    rows += [[f"not measured: {name}", why, "", "", "", "", "", ""] for name, why in figures["skipped"].items()]
    return rows


def spark(_, figures):
    """Cold and warm JVMs, their start-up apart."""
    rows = [["", "start-up, s (CPU s)", "first", "warm", "client CPU s per million rows, first / warm", "server CPU s per million rows", "peak RSS, MiB",
             "helenus alone is so many times as fast, first / warm"]]
    for name, value in figures["contenders"].items():
        stages = [value[stage] for stage in ("first", "warm") if stage in value]
        rate = [f"{spread(stage['rows_per_s'], 0)} rows/s" for stage in stages] + [""] * (2 - len(stages))
        both = lambda field: " / ".join(f"{stage[field]['median']:.1f}" for stage in stages)
        startup = f"{spread(value['startup_s'], 1)} ({value['startup_cpu_s']['median']:.1f})" if "startup_s" in value else "in its time"
        times = both("helenus_times") if "startup_s" in value else ""
        rows.append([name, startup, *rate, both("client_cpu_s_per_million"), both("server_cpu_s_per_million"), round(value["peak_mib"]), times])
    rows += [[f"not measured: {name}", why, "", "", "", "", "", ""] for name, why in figures["skipped"].items()]
    return rows


def adoption(_, figures):
    commit, wheel, pip = figures["commit"], figures["wheel"], figures["pip"]
    until, steps = commit["until_s"], ", ".join(f"{name} {seconds}" for name, seconds in pip["steps_s"].items())
    return [
        ["", ""],
        [f"from a commit until `helenus apply` has ended, {commit['rows']:,} rows", f"{spread(until['apply'], 1)} s"],
        ["until every row is scored and the alias has moved", f"{spread(until['alias moved'], 1)} s"],
        [f"the wheel{', given' if wheel['is_given'] else ''}", f"{wheel['mib']} MiB"],
        [f"`pip install` into an empty environment until the first of {pip['rows']:,} predictions is read", f"{pip['seconds']} s ({steps})"],
    ]


def serving_name(name):
    return plots.SERVERS.get(name, name.replace("_", " "))


SHAPES = ("columns", "vector", "mixed")
SECTIONS = [
    ("End to end, against the ceiling", [*(f"end_to_end_{shape}" for shape in SHAPES), "three_nodes"], end_to_end, "ratios"),
    ("The ceiling, tuned", ["ceiling_columns", "ceiling_vector"], grid, "ceiling"),
    ("Reading only, writing only", ["read_write_only"], by_shape, None),
    ("Versions in one pass", ["versions_columns", "versions_vector"], versions, "versions"),
    ("Runs that find little to do", ["pending_columns", "pending_vector"], pending, "pending"),
    ("Nothing changed, beside more versions", ["pending_versions"], kept, None),
    ("Iterations compared and evaluated", ["iterations"], iterations, None),
    ("Several processes on one run", ["workers"], workers, None),
    ("Memory by the size of the table", ["memory"], memory, None),
    ("Heap allocations for each row", ["allocations"], allocations, None),
    ("Where the client's CPU goes", ["profile"], profile, None),
    ("A large model", ["big_model"], big_model, None),
    ("Planning, claims, close", ["control"], control, None),
    ("What profiles of drift cost", ["drift"], drift, None),
    ("Requests", ["latency"], latency, None),
    ("Beside other load", ["polite"], polite, "polite"),
    ("Serving, and other servers of the same model", ["serving"], serving, "serving"),
    ("Serving at its limits", ["serving"], serving_limits, None),
    ("Pages of the console", ["console"], console, None),
    ("Streams, and a Python consumer", ["stream"], stream, None),
    ("Images and texts, and Python scripts", ["documents"], documents, None),
    ("Adopting it", ["adoption"], adoption, None),
    ("Spark, and its Cassandra connector", ["spark"], spark, None),
]
