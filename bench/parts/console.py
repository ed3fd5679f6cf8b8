"""How long the console's pages take in a browser, with more of everything than people look at."""

import json
import os
import subprocess
import sys

from measure import ROOT, run
from serving.server import Server, free_address

KEYSPACE = "helenus_bench_console"
RUN = "/jobs/job_000/runs"
PAGES = [
    "/", "/jobs/job_000", RUN, "/jobs/job_000/triggers", "/jobs/job_000/drift", "/jobs/job_000/comparisons", "/jobs/job_000/stream",
    "/models", "/models/large", "/models/large/versions/7", "/models/large/aliases", "/models/large/evaluations", "/models/large/gates",
    "/models/large/retrainings", "/experiments", "/alarms", "/alarms?all=yes", "/requests", "/streams", "/workers",
]


def pages(world):
    """Milliseconds from the request to the last byte, as the page's script sees them: each time past the age until which reads are
    shared, so that Cassandra is asked. And the reads that each page needs."""
    modules = ROOT / ".dev" / "console"
    if not (modules / "node_modules").is_dir():
        sys.exit("the part console needs node, chromium and `scripts/setup --console`")
    environment = {**world.environment, "HELENUS_KEYSPACE": KEYSPACE}
    helenus = [world.program("helenus"), "--output", "json"]
    command = lambda *arguments: run([*helenus, *arguments], world.cassandra, environment)["answer"]
    command("migrate")
    fill = [sys.executable, ROOT / "tests" / "console" / "fill.py", world.cassandra.contact, KEYSPACE]
    filled = subprocess.run(fill, check=True, stdout=subprocess.PIPE, text=True).stdout
    newest = json.loads(filled.splitlines()[-1])["run"]
    tokens = ROOT / "target" / "bench" / "console_tokens.toml"
    tokens.parent.mkdir(parents=True, exist_ok=True)
    tokens.unlink(missing_ok=True)
    token = command("--serve-tokens", str(tokens), "token", "new", "bench", "--rights", "read,run,promote,approve")["token"]
    address = free_address()
    serve = [world.program("helenus"), "--serve-listen", address, "--serve-tokens", tokens, "serve", "--console"]
    with Server(serve, address, "/live", environment) as server:
        found = drive(modules, {
            "url": f"http://{address}", "tokens": {"all": token}, "acts": ["times"],
            "pages": [page.replace(RUN, f"{RUN}/{newest}") for page in PAGES],
        })["pages"]
        mib = server.rss_mib()
    each = {page.replace(newest, "RUN"): figures for page, figures in found.items()}
    slowest = max(each, key=lambda page: each[page]["max_ms"])
    return {"pages": each, "slowest": slowest, "most_reads": max(figures["reads"] for figures in each.values()), "rss_mib": mib}


def drive(modules, plan):
    script = ROOT / "tests" / "console" / "drive.mjs"
    environment = {**os.environ, "HELENUS_TEST_CONSOLE_MODULES": str(modules)}
    done = subprocess.run(["node", script], input=json.dumps(plan), stdout=subprocess.PIPE, text=True, env=environment)
    answer = json.loads(done.stdout or "{}")
    if done.returncode != 0:
        sys.exit(f"the browser: {answer.get('problems')}")
    return answer["found"]
