"""What is measured: a Cassandra of the benchmark's own with tables from a seed, models and jobs."""

import contextlib
import json
import os
import subprocess
import sys
import time

from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, ExecutionProfile
from cassandra.query import ConsistencyLevel

from measure import ROOT, Cassandra, run

DATA = "bench_data"
LR = "models/breast_cancer_lr/model.onnx"
MODELS = {"lr": LR, "lgbm": "bench/models/lgbm100.onnx", "mlp": "bench/models/mlp.onnx", "mixed": "bench/models/mixed.onnx"}
FEATURES = ROOT / "models" / "breast_cancer_lr" / "features.txt"
with open(ROOT / "models" / "breast_cancer_lr" / "data.csv") as data:
    NAMES = data.readline().strip().split(",")[1:31]
FEATURES_OF = {
    "columns": "",
    # A vector column feeds the one wide input by itself.
    "vector": """
[features]
features = {{ column = "features", width = 30 }}

[wide.X]
for_versions = {versions}
order = ["features"]
""",
    # Nulls are replaced, so that every row is scored.
    "mixed": '\n[features]\ncategory = "category"\n'
    + "".join(f'{name} = {{{{ column = "{name}", null = 0 }}}}\n' for name in NAMES[1:]),
}


class World:
    def __init__(self, options, instance, nodes):
        self.options = options
        self.nodes = nodes
        self.rows = options.rows if nodes == 1 else options.rows // nodes
        self.programs = options.programs
        self.cassandra = Cassandra(instance, "--nodes", str(nodes), "--heap", "1G")
        hosts, port = zip(*(contact.split(":") for contact in self.cassandra.contacts))
        profile = ExecutionProfile(consistency_level=ConsistencyLevel.LOCAL_QUORUM, request_timeout=120)
        # A node that has just started is slow.
        patience = {"connect_timeout": 30, "control_connection_timeout": 30}
        self.cluster = Cluster(list(hosts), port=int(port[0]), execution_profiles={EXEC_PROFILE_DEFAULT: profile}, **patience)
        self.session = self.cluster.connect()
        self.environment = {
            "HELENUS_CONFIG": "/dev/null",
            "HELENUS_CONTACT_POINTS": ",".join(self.cassandra.contacts),
            "HELENUS_KEYSPACE": "helenus_bench",
            "HELENUS_ONNXRUNTIME": str(ROOT / ".dev" / "onnxruntime" / "libonnxruntime.so"),
        }
        replication = f"{{'class': 'SimpleStrategy', 'replication_factor': {nodes}}}"
        self.session.execute(f"CREATE KEYSPACE IF NOT EXISTS {DATA} WITH replication = {replication}")
        # What an earlier call with the same --name has made.
        self.session.execute(f"CREATE TABLE IF NOT EXISTS {DATA}.made (what text PRIMARY KEY, how text)")
        self.made = {row.what: row.how for row in self.session.execute(f"SELECT what, how FROM {DATA}.made")}
        self.helenus("migrate", "--replication", replication)

    def close(self):
        self.cluster.shutdown()

    def _once(self, what, how):
        """Whether it is still to be made."""
        if what in self.made and self.made[what] != how:
            sys.exit(f"{what} was made with {self.made[what]}, not {how}: scripts/cassandra wipe --name {self.cassandra.name}")
        return what not in self.made

    def _is_made(self, what, how):
        self.session.execute(f"INSERT INTO {DATA}.made (what, how) VALUES (%s, %s)", (what, how))
        self.made[what] = how

    def program(self, name):
        return str(self.programs / (name if name == "helenus" else f"examples/{name}"))

    def helenus(self, *arguments):
        """Gives the result of a command that is not measured."""
        return run([self.program("helenus"), "--output", "json", *arguments], self.cassandra, self.environment)["answer"]

    def table(self, shape, name=None):
        """A table with rows from the seed; gives its name."""
        name = name or shape
        how = f"{self.rows} rows of {shape}, seed {self.options.seed}"
        if self._once(name, how):
            print(f"  filling {DATA}.{name}: {how}", file=sys.stderr)
            self.fill(shape, name, "--rows", str(self.rows), "--seed", str(self.options.seed))
            self._is_made(name, how)
        return name

    @contextlib.contextmanager
    def of(self, rows):
        """With so many rows in the tables that are made and measured meanwhile."""
        whole, self.rows = self.rows, rows
        try:
            yield
        finally:
            self.rows = whole

    def fill(self, shape, name, *flags):
        contact = ["--contact", self.cassandra.contact]
        subprocess.run([self.program("fill"), shape, *contact, "--table", f"{DATA}.{name}", *flags], check=True, cwd=ROOT)

    def push(self, name, shape, *files):
        """A model with a version of each file."""
        how = " ".join(map(str, files))
        if self._once(f"model {name}", how):
            # Only a table of columns has a column for each feature; the mixed model names its own.
            features = ["--features", str(FEATURES)] if shape == "columns" else []
            for file in files:
                self.helenus("model", "push", name, str(file), *features, "--classes", "benign,malignant")
            self._is_made(f"model {name}", how)

    def job(self, model, shape, name=None, table=None, versions=(1,), extra=""):
        """A job, with its model pushed if it is one of [`MODELS`]; gives its name."""
        name, versions = name or f"{model}_{shape}", list(versions)
        if model in MODELS:
            model = f"{model}_{shape}"
            self.push(model, shape, MODELS[model.removesuffix(f"_{shape}")])
        manifest = (
            f'job = "{name}"\nmodel = "{model}"\nversions = {versions}\n\n[source]\ntable = "{DATA}.{table or shape}"\n'
            + FEATURES_OF[shape].format(versions=versions)
            + '\n[outputs]\npositive = "malignant"\n'
            + extra
        )
        if self._once(f"job {name}", manifest):
            folder = ROOT / "target" / "bench"
            folder.mkdir(parents=True, exist_ok=True)
            file = folder / f"{name}.toml"
            file.write_text(manifest)
            self.helenus("job", "create", str(file))
            # A snapshot for each TRUNCATE would fill the disk.
            self.session.execute(f"ALTER TABLE {DATA}.{name}_predictions WITH allow_auto_snapshot = false")
            self._is_made(f"job {name}", manifest)
        return name

    def empty(self, job):
        """Deletes all predictions of a job, and lets Cassandra finish what that leaves behind."""
        self.session.execute(f"TRUNCATE {DATA}.{job}_predictions")
        time.sleep(0.7)

    def tuned(self, shape):
        """The ceiling's settings, as its own grid has found them; without one, its defaults."""
        grid = self.options.results / f"ceiling_{'vector' if shape == 'vector' else 'columns'}.json"
        return json.loads(grid.read_text())["figures"]["best"] if grid.exists() else {}


def build(programs):
    """The three programs, if they are not there."""
    wanted = [programs / "helenus", programs / "examples" / "ceiling", programs / "examples" / "fill"]
    if all(program.exists() for program in wanted):
        return
    if programs != ROOT / "target" / "release":
        sys.exit(f"{programs} has no {' or no '.join(str(w.relative_to(programs)) for w in wanted if not w.exists())}")
    subprocess.run(
        ["cargo", "build", "--locked", "--release", "--features", "kafka", "--bin", "helenus", "--example", "ceiling", "--example", "fill"],
        check=True, cwd=ROOT, env=os.environ,
    )
