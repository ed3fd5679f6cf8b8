"""Fills a keyspace of helenus with more than people look at: 500 jobs, 10,000 runs of one, 200 versions, 400 features.

Usage: fill.py HOST:PORT KEYSPACE. The keyspace is migrated; rows are written as helenus leaves them. Measured with it:
docs/console.md. Names have quotes, accents, text from right to left, and markup.
"""
import json
import sys
from datetime import datetime, timedelta, timezone
from uuid import UUID

from cassandra.cluster import Cluster
from cassandra.concurrent import execute_concurrent_with_args
from cassandra.util import uuid_from_time

contact, keyspace = sys.argv[1:]
host, port = contact.rsplit(":", 1)
session = Cluster([host], port=int(port)).connect(keyspace)
NOW = datetime.now(timezone.utc).replace(microsecond=0)
ODD = ["o'brien \"ltd\"", "réservé à la clinique", "سجل المرضى", "<script>alert(1)</script>", "名前", "x" * 60]


def fill(table, columns, rows, ttl=0):
    marks = ", ".join("?" * len(columns))
    using = f" USING TTL {ttl}" if ttl else ""
    statement = session.prepare(f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks}){using}")
    execute_concurrent_with_args(session, statement, rows, concurrency=64)
    print(table, len(rows), flush=True)


def run_id(at, n):
    return uuid_from_time(at.timestamp(), node=n + 1, clock_seq=n % 16000)


jobs = [f"job_{n:03}" for n in range(500 - len(ODD))] + ODD
fill("jobs", ["job", "revision", "manifest", "created_by", "created_at", "note"],
     [(job, 1, "", "ada", NOW, ODD[n % len(ODD)]) for n, job in enumerate(jobs)])
fill("job_status", ["job", "revision", "state", "model", "source", "target"],
     [(job, 1, "ready", "large", "clinic.biopsies", "clinic.predictions") for job in jobs])
RUN = ["job", "run_id", "job_revision", "versions", "state", "reason", "scope", "trigger", "requested_by", "due_at", "started_at", "finished_at",
       "splits_total", "splits_done", "source_rows", "scored", "unchanged", "rejected"]


def run(job, n, at):
    failed = n % 37 == 5
    state, reason = ("failed", ODD[n % len(ODD)]) if failed else ("succeeded", None)
    return (job, run_id(at, n), 1, {1, 2}, state, reason, "pending", "often", None if n % 9 else "ada@console", at, at, at + timedelta(seconds=n % 90 + 1),
            16, 16, 569, {1: n % 569, 2: 3}, {1: 569 - n % 569}, {1: n % 4})


fill("runs", RUN, [run("job_000", n, NOW - timedelta(minutes=7 * n)) for n in range(10_000)])
fill("runs", RUN, [run(job, n, NOW - timedelta(hours=n)) for job in jobs[1:] for n in range(3)])
# Every 50th job has failed; the grid of job_000 has failures of its own.
for job in jobs[25::50]:
    session.execute("UPDATE runs SET state = 'failed', reason = %s WHERE job = %s AND run_id = %s", (ODD[0], job, run_id(NOW, 0)))
for n, job in enumerate(jobs[:300]):
    session.execute("UPDATE alarms SET open[%s] = %s WHERE job = %s", (f"drift/version {n}", run_id(NOW - timedelta(minutes=n), n), job))
fill("alarms", ["job", "id", "kind", "subject", "what", "since", "seen"],
     [(job, run_id(NOW - timedelta(minutes=n), n), "drift", f"version {n}", ODD[n % len(ODD)], NOW - timedelta(minutes=n), 3) for n, job in enumerate(jobs[:300])])

fill("names", ["kind", "name"], [("model", "large")])
metrics = {"roc_auc": 0.98, "accuracy": 0.95, "log_loss": 0.12}
fill("model_versions", ["name", "version", "format", "sha256", "size", "chunks", "metrics", "note", "registered_by", "registered_at"],
     [("large", n, "onnx", bytes(32), 40_000, 1, metrics, ODD[n % len(ODD)], "ada", NOW) for n in range(1, 201)])
fill("admissions", ["name", "version", "state", "signature", "feature_names", "decided_at"],
     [("large", n, "ready", "X: float[400] -> label: string[], probabilities: float[2]", [f"feature_{f}" for f in range(400)], NOW) for n in range(1, 201)])
fill("model_aliases", ["model", "alias", "changed_at", "version", "last_seq", "seq", "from_version", "to_version", "who", "why"],
     [("large", "champion", run_id(NOW - timedelta(hours=200 - n), n), n, n, n, n - 1, n, "ada@console", ODD[n % len(ODD)]) for n in range(1, 201)])
fill("evaluations", ["model", "version", "evaluation", "job", "labels", "evaluated", "headline", "headline_value", "metrics", "low", "high", "evaluated_at"],
     [("large", n, run_id(NOW, n), "job_000", "clinic.outcomes.diagnosis", 569, "roc_auc", 0.98, metrics,
       {k: v - 0.01 for k, v in metrics.items()}, {k: v + 0.01 for k, v in metrics.items()}, NOW) for n in range(1, 201)])

features = [f"feature_{n}" for n in range(400 - len(ODD))] + ODD
drift = []
for r in range(8):
    at = run_id(NOW - timedelta(minutes=7 * r), r)
    for n, feature in enumerate(features):
        for against in ("reference", "previous"):
            drift.append(("job_000", at, 1, feature, against, "", "drifted" if n % 50 == 3 else "stable", (n * 7 % 40) / 100, 569, 569, NOW))
fill("drift", ["job", "run_id", "version", "feature", "against", "segment", "verdict", "psi", "n", "m", "measured_at"], drift)
fill("rejected_rows", ["job", "run_id", "model_version", "entity", "key", "reason"],
     [("job_000", run_id(NOW, 0), 1, f"e{n}", {"id": ODD[n % len(ODD)] + str(n)}, f"feature_{n % 12} is null") for n in range(2_500)])
day = NOW.date()
fill("run_requests", ["day", "id", "job", "requested_by", "note"],
     [(day, run_id(datetime(day.year, day.month, day.day, tzinfo=timezone.utc) + timedelta(seconds=n), n), jobs[n % 500], "ada@console", ODD[n % len(ODD)]) for n in range(1_000)])
fill("workers", ["bucket", "worker", "process", "host", "pid", "version", "state", "doing", "started_at", "beat", "beat_at"],
     [("all", run_id(NOW, n), f"host-{n}/1", f"host-{n}", n + 1, "0.1.0", "working", [f"scores split {n} of job {ODD[n % len(ODD)]}"], NOW, 1, NOW) for n in range(40)], ttl=86_400)
fill("streams", ["job", "member", "host", "pid", "version", "topic", "state", "reason", "received", "scored", "rejected", "messages_per_s", "started_at", "beat_at"],
     [(job, run_id(NOW, n), f"host-{n}", 7, "0.1.0", ODD[n % len(ODD)], "paused" if n == 3 else "running", "9 of 10 messages were rejected" if n == 3 else None,
       1_000, 990, 10, 12.5, NOW, NOW) for n, job in enumerate(jobs[:100])], ttl=86_400)
fill("stream_positions", ["job", "topic", "partition", "position", "end_position", "message_at", "member", "updated_at"],
     [(job, ODD[n % len(ODD)], p, 10_000, 10_000 + n, NOW, run_id(NOW, n), NOW) for n, job in enumerate(jobs[:100]) for p in range(12)])
print(json.dumps({"run": str(run_id(NOW, 0)), "version": 1}))
