"""`helenus serve` and its peers in turn: one row a request, given or by key; then helenus at its limits."""

import sys

from measure import summary
from serving import limits
from serving.contenders import Field

CONNECTIONS = (1, 8, limits.CAPACITY)
ROUNDS = 3
FIELDS = ("rps", "p50_ms", "p99_ms", "cpu_us", "cassandra_cpu_us")


def against_peers(world):
    quick = world.options.quick
    rounds, seconds = (1, 1) if quick else (min(world.options.pairs, ROUNDS), 2)
    with Field(world) as field:
        # Caches, pools and Cassandra's compiler.
        for contender in field.contenders:
            contender.point(world, 8, seconds)
        points = in_rounds(world, field.contenders, rounds, seconds)
        resident = {name: server.rss_mib() for name, server in field.servers.items()}
        worker = field.prepared["worker_mib"]
        rps = points["given", "helenus", limits.CAPACITY][-1]["rps"]
        count = max(20 * limits.OVERLOAD, round(seconds * rps))
        return {
            "rounds": rounds,
            "seconds": seconds,
            "rows": field.prepared["rows"],
            "auth": field.helenus.token is not None,
            "versions": field.versions,
            "given": told(points, "given"),
            "by_key": told(points, "by_key"),
            "ratios": {group: ratios(points, group) for group in ("given", "by_key")},
            "rss_mib": {**resident, "worker": worker, "over_worker": round(resident["helenus"] - worker, 1)},
            "overload": limits.overload(field, rounds, count),
            "grpc": limits.grpc(field, rounds, count),
            "swap": limits.swap(field, rps, quick),
            # Last, for those before add to it.
            "skipped": field.skipped,
        }


def in_rounds(world, contenders, rounds, seconds):
    """Each contender's points by (group, name, connections); at each number of connections all take
    turns, the first of one round last in the next."""
    points = {}
    for number in range(rounds):
        shift = number % len(contenders)
        for connections in CONNECTIONS:
            for one in contenders[shift:] + contenders[:shift]:
                point = one.point(world, connections, seconds)
                points.setdefault((one.group, one.name, connections), []).append(point)
                print(f"    {one.group} {one.name}, c = {connections}: {point['rps']:,.0f} requests/s, p99 {point['p99_ms']} ms, "
                      f"{point['cpu_us']:.0f} us", file=sys.stderr)
    return points


def told(points, group):
    """By contender and connections, in the order of their first turn."""
    found = {}
    for (of, name, connections), measured in points.items():
        if of == group:
            found.setdefault(name, {})[str(connections)] = {
                **{field: summary([point[field] for point in measured], 3) for field in FIELDS},
                "requests": sum(point["requests"] for point in measured),
                "failed": sum(point["failed"] for point in measured),
            }
    return found


def ratios(points, group):
    """helenus's requests a second by each peer's of the same round: {helenus's: {peer: {connections: ratio}}}."""
    names = list(dict.fromkeys(name for of, name, _ in points if of == group))
    own = [name for name in names if name.startswith("helenus")]
    rate = lambda name, connections: [point["rps"] for point in points[group, name, connections]]
    return {
        one: {
            peer: {
                str(connections): summary([a / b for a, b in zip(rate(one, connections), rate(peer, connections))])
                for connections in CONNECTIONS
            }
            for peer in names
            if peer not in own
        }
        for one in own
    }
