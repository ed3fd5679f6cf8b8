"""Who takes a turn: routes of helenus and of its peers, that all give the same answers."""

import contextlib
import dataclasses
import json
import sys
from typing import Callable

from measure import ROOT
from serving import helenus, oip, peers
from serving.load import Requests, wrk
from serving.server import Server


@dataclasses.dataclass
class Contender:
    """A route of a server. `group`: given or by_key; `read`: the probability in its answer, if that is
    compared."""

    group: str
    name: str
    server: Server
    requests: Requests
    read: Callable | None = None

    def point(self, world, connections, seconds):
        """One measurement; CPU is of all the server's processes, and of Cassandra's."""
        own, database = self.server.cpu_seconds(), world.cassandra.cpu_seconds()
        told = wrk(self.requests, self.server.address, connections, seconds)
        own, database = self.server.cpu_seconds() - own, world.cassandra.cpu_seconds() - database
        each = 1e6 / told["requests"]
        return {**told, "cpu_us": own * each, "cassandra_cpu_us": database * each}


class Field:
    """All contenders, with their servers running inside `with`. `skipped` says why another is missing."""

    def __init__(self, world):
        self.world = world
        self.prepared = helenus.prepare(world)
        self.rows = data_rows()
        self.contenders, self.skipped, self.versions, self.servers = [], {}, {}, {}
        self.stack = contextlib.ExitStack()

    def __enter__(self):
        try:
            self._add_helenus()
            self._add_fastapi()
            self._add_mlserver()
            self._check_answers()
        except BaseException:
            self.stack.close()
            raise
        return self

    def __exit__(self, *_):
        self.stack.close()

    def _start(self, name, server):
        self.servers[name] = self.stack.enter_context(server)
        return server

    def _add(self, *contender):
        self.contenders.append(Contender(*contender))

    def _add_helenus(self):
        self.helenus = server = self._start("helenus", helenus.Helenus(self.world))
        keyed = self.prepared["rows"]
        self.given = server.given(self.rows)
        self._add("given", "helenus", server, self.given, helenus.probability("scored"))
        self.infer, why = server.infer(self.rows)
        for form in ("json", "binary"):
            if form in self.infer:
                read = oip.probability if form == "json" else None
                self._add("given", f"helenus_oip_{form}", server, self.infer[form], read)
            else:
                self.skipped[f"helenus_oip_{form}"] = why
        self._add("by_key", "helenus_stored", server, server.by_key(helenus.STORED, keyed), helenus.probability("stored"))
        self._add("by_key", "helenus_scored", server, server.by_key(helenus.FRESH, keyed), helenus.probability("scored"))

    def _add_fastapi(self):
        if not peers.is_there(peers.FASTAPI):
            self.skipped["fastapi"] = not_there(peers.FASTAPI)
            return
        self.versions["fastapi"] = peers.versions(peers.FASTAPI)
        server = self._start("fastapi", peers.FastApi(self.world, self.prepared["table"]))
        self._add("given", "fastapi", server, server.given(self.rows, "/score"), server.probability)
        self._add("given", "fastapi_async", server, server.given(self.rows, "/score_async"), server.probability)
        self._add("by_key", "fastapi", server, server.by_key(self.prepared["rows"]), server.probability)

    def _add_mlserver(self):
        if not peers.is_there(peers.MLSERVER):
            self.skipped["mlserver"] = not_there(peers.MLSERVER)
            return
        self.versions["mlserver"] = peers.versions(peers.MLSERVER)
        # 1 is its default.
        for workers, name in ((1, "mlserver"), (0, "mlserver_in_process")):
            server = self._start(name, peers.MlServer(workers))
            self._add("given", name, server, server.given(self.rows), oip.probability)

    def _check_answers(self):
        """Whoever answers something else does other work."""
        for group in ("given", "by_key"):
            answers = {
                one.name: [one.read(one.requests.ask(one.server.address, number)) for number in range(5)]
                for one in self.contenders
                if one.group == group and one.read
            }
            first, *others = answers.values()
            if any(abs(a - b) > 1e-5 for other in others for a, b in zip(first, other)):
                sys.exit(f"{group}: the servers' probabilities differ: {json.dumps(answers)}")


def data_rows():
    """The rows of the data set: 30 numbers each, as people would send them."""
    with open(ROOT / "models" / "breast_cancer_lgbm" / "data.csv") as file:
        next(file)
        return [[float(cell) for cell in line.strip().split(",")[1:31]] for line in file]


def not_there(environment):
    return f"no {environment.parent.relative_to(ROOT)}: scripts/setup --bench-peers"
