#!/usr/bin/env python3
"""A foreground load of fixed rate: random rows by key, each counted from when it was due, so that a
stall is seen by all who would have come meanwhile.

    bench/reader.py HOST:PORT TABLE ROWS RATE

Reads as soon as it is ready. Each line of its input begins a new measurement and prints the
milliseconds of the one before; it ends with its input.
"""

import json
import random
import sys
import threading
import time

from cassandra.cluster import Cluster


def percentiles(milliseconds):
    ordered = sorted(milliseconds)
    at = lambda share: round(ordered[min(int(share * len(ordered)), len(ordered) - 1)], 2)
    return {"reads": len(ordered), "p50_ms": at(0.5), "p99_ms": at(0.99), "most_ms": round(ordered[-1], 2)}


class Load:
    def __init__(self, session, table, rows, rate):
        self.session, self.rows, self.gap = session, rows, 1 / rate
        self.read = session.prepare(f"SELECT * FROM {table} WHERE id = ?")
        self.random = random.Random(1)
        self.milliseconds = []
        self.failed = 0

    def taken(self):
        """What was measured since the last time."""
        measured, self.milliseconds = self.milliseconds, []
        failed, self.failed = self.failed, 0
        return {**(percentiles(measured) if measured else {"reads": 0}), "failed": failed}

    def run(self):
        due = time.monotonic()
        while True:
            due += self.gap
            wait = due - time.monotonic()
            if wait > 0:
                time.sleep(wait)
            answer = self.session.execute_async(self.read, (self.random.randrange(self.rows),))
            answer.add_callbacks(self.answered, self.refused, callback_args=(due,))

    def answered(self, _, due):
        self.milliseconds.append((time.monotonic() - due) * 1e3)

    def refused(self, _):
        self.failed += 1


def main():
    contact, table, rows, rate = sys.argv[1:]
    host, port = contact.split(":")
    load = Load(Cluster([host], port=int(port)).connect(), table, int(rows), float(rate))
    threading.Thread(target=load.run, daemon=True).start()
    for _ in sys.stdin:
        print(json.dumps(load.taken()), flush=True)


if __name__ == "__main__":
    main()
