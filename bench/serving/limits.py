"""helenus beyond and beside steady load: overload, gRPC against REST, an alias that moves."""

import json
import math
import sys
import time

from measure import summary
from serving import helenus
from serving.load import Wrk, h2load
from worker import Worker

CAPACITY, OVERLOAD = 64, 256
SWAP_REQUESTS = 100_000


def overload(field, rounds, count):
    """Four times the connections that fill it, `count` requests each time. By h2load, for wrk doesn't
    tell the times of accepted requests from those of refused ones."""
    server = field.helenus
    send = lambda connections: h2load(field.given, server.address, connections, count)
    # What every connection needs once is no growth.
    send(OVERLOAD)
    before, after, pairs = server.rss_mib(), [], []
    for _ in range(rounds):
        pairs.append((send(CAPACITY), send(OVERLOAD)))
        after.append(server.rss_mib())
    over = [one for _, one in pairs]
    return {
        "connections": OVERLOAD,
        "capacity_p99_ms": summary([one["p99_ms"] for one, _ in pairs]),
        "accepted_p99_ms": summary([one["p99_ms"] for one in over]),
        "times": summary([one["p99_ms"] / capacity["p99_ms"] for capacity, one in pairs]),
        "accepted_rps": summary([one["rps"] for one in over], 0),
        "refused": round(sum(one["refused"] for one in over) / sum(one["requests"] for one in over), 4),
        "failed": sum(one["failed"] for one in over),
        "rss_mib": {"before": before, "after": after},
    }


def grpc(field, rounds, count):
    """The same row over both, raw contents and the binary extension, by one tool. None: see `skipped`."""
    server = field.helenus
    if "grpc" not in field.infer:
        field.skipped["grpc"] = field.skipped["helenus_oip_binary"]
        return None
    if not server.serves_grpc():
        field.skipped["grpc"] = "nothing listens on serve.grpc_listen"
        return None
    # A failed call has no message, only trailers; its HTTP status is 200, too.
    message = h2load(field.infer["grpc"], server.grpc_address, 1, 1, http1=False)["data_bytes"]
    if message == 0:
        field.skipped["grpc"] = "ModelInfer answered without a message"
        return None
    contenders = {
        "rest": lambda: h2load(field.infer["binary"], server.address, CAPACITY, count),
        "grpc": lambda: h2load(field.infer["grpc"], server.grpc_address, CAPACITY, count, http1=False),
    }
    found = {name: [] for name in contenders}
    for number in range(rounds):
        for name in list(contenders)[:: -1 if number % 2 else 1]:
            cpu = server.cpu_seconds()
            told = contenders[name]()
            cpu = server.cpu_seconds() - cpu
            if name == "grpc":
                told["failed"] += max(0, told["requests"] - told["data_bytes"] // message)
            found[name].append({**told, "cpu_us": cpu / told["requests"] * 1e6})
    fields = ("rps", "p50_ms", "p99_ms", "cpu_us")
    told = {
        name: {**{one: summary([point[one] for point in points]) for one in fields}, "failed": sum(point["failed"] for point in points)}
        for name, points in found.items()
    }
    return {"connections": CAPACITY, **told, "ratio": summary([a["rps"] / b["rps"] for a, b in zip(found["grpc"], found["rest"])])}


def swap(field, rps, quick):
    """Another version gets the alias during a load; `rps`: of the load, as found before."""
    world, server = field.world, field.helenus
    wanted = SWAP_REQUESTS // 50 if quick else SWAP_REQUESTS
    # The load is slower beside a worker, a promotion and other requests; it must outlast them.
    seconds = min(90, math.ceil(1.5 * wanted / rps) + 10)
    with Worker(world), Wrk(field.given, server.address, CAPACITY, seconds) as load:
        time.sleep(seconds / 4)
        if version(field) != 1:
            sys.exit("the first version is not served before the promotion")
        helenus.promote(world, 2)
        moved = time.monotonic()
        while version(field) != 2:
            if time.monotonic() - moved > 30:
                sys.exit("the new version is not served 30 s after its promotion")
            time.sleep(0.002)
        served = time.monotonic() - moved
        if load.process.poll() is not None:
            sys.exit("the load ended before the new version was served")
        told = load.end()
    return {"requests": told["requests"], "wanted": wanted, "failed": told["failed"], "served_s": round(served, 3), "p99_ms": told["p99_ms"]}


def version(field):
    """Which one answers now."""
    answer = json.loads(field.given.ask(field.helenus.address))
    return answer["rows"][0]["predictions"][0]["version"]
