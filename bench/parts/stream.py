"""`helenus stream` from topic to topic, beside a Python consumer; and from a message to the stored prediction."""

import json
import os
import pathlib
import subprocess
import sys
import threading
import time

from measure import ROOT, cpu_seconds, summary
from stream import kafka
from world import DATA, FEATURES
from worker import Worker

PEER = ROOT / ".dev" / "kafka-peer-venv" / "bin" / "python"
MODEL = ROOT / "models" / "breast_cancer_lgbm" / "model.onnx"
RATE, STORED_RATE = 1_000, 500
# Of the messages at STORED_RATE, how many keys are watched.
WATCHED = 100


def topic_to_topic(world):
    quick = world.options.quick
    rounds, count = (1, 5_000) if quick else (min(world.options.pairs, 3), 200_000)
    model = "stream_lgbm"
    world.push(model, "columns", MODEL)
    world.helenus("model", "promote", model, "1", "--why", "bench")
    world.session.execute(f"CREATE TABLE IF NOT EXISTS {DATA}.streamed (id int PRIMARY KEY, {', '.join(f'{n} float' for n in kafka.NAMES)})")
    peers = ["each", "batched"] if PEER.exists() else []
    skipped = {} if peers else {"python": "scripts/setup --bench-stream was not run"}
    with kafka.Broker(f"{world.options.name}-kafka") as broker:
        broker.topics("rows", "rejected")
        print(f"  filling a topic with {count:,} messages", file=sys.stderr)
        kafka.fill(broker, "rows", count, world.options.seed)
        contenders = {"helenus": lambda turn: Stream(world, broker, f"b{turn}", "rows", model),
                      "helenus, rows written": lambda turn: Stream(world, broker, f"u{turn}", "rows", model, upsert=True)}
        for mode in peers:
            contenders[f"python, {mode}"] = lambda turn, mode=mode: Peer(broker, mode, "rows", f"{mode}{turn}")
        measured = {name: [] for name in contenders}
        for turn in range(rounds):
            names = list(contenders)
            for name in names[turn % len(names):] + names[:turn % len(names)]:
                with contenders[name](turn) as running:
                    point = throughput(broker, running, count)
                measured[name].append(point)
                print(f"    {name}: {point['messages_per_s']:,.0f} messages/s, {point['cpu_us']:.0f} us", file=sys.stderr)
        at_rate = {}
        for name in ("helenus", *(f"python, {mode}" for mode in peers[:1])):
            topic = f"paced-{name.split(',')[0]}"
            broker.topics(topic)
            make = (lambda: Stream(world, broker, "paced", topic, model)) if name == "helenus" else (lambda: Peer(broker, "each", topic, "paced"))
            with make() as running:
                at_rate[name] = latencies(broker, topic, running, 3 if quick else 20)
            print(f"    {name} at {RATE}/s: {at_rate[name]}", file=sys.stderr)
        stored = stored_after(world, broker, model, 4 if quick else 20)
        print(f"    stored at {STORED_RATE}/s: {stored}", file=sys.stderr)
    fields = ("messages_per_s", "cpu_us", "rss_mib", "broker_cpu_us")
    throughputs = {name: {**{field: summary([point[field] for point in points], 1) for field in fields}} for name, points in measured.items()}
    ratios = {name: summary([other["cpu_us"] / own["cpu_us"] for own, other in zip(measured["helenus"], points)])
              for name, points in measured.items() if name.startswith("python")}
    return {"rounds": rounds, "messages": count, "throughput": throughputs, "messages_per_cpu_by": ratios,
            "latency": {"rate": RATE, **at_rate}, "stored": {"rate": STORED_RATE, **stored}, "skipped": skipped}


class Running:
    """A process under way, whose answers come to a topic of its own."""

    def start(self, command, environment):
        self.log = pathlib.Path(ROOT / "target" / "bench" / f"{self.target}.log")
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen([str(word) for word in command], cwd=ROOT, env={**os.environ, **environment},
                                            stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def rss_mib(self):
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) / 1024


class Stream(Running):
    def __init__(self, world, broker, name, topic, model, upsert=False):
        self.target = f"answers-{name}"
        broker.topics(self.target)
        job = f"stream_{name}"
        manifest = (f'job = "{job}"\nmodel = "{model}"\nversions = ["champion"]\n\n[source]\ntable = "{DATA}.streamed"\n\n'
                    f'[outputs]\npositive = "malignant"\n\n[stream.in]\ntopic = "{topic}"\nupsert = {str(upsert).lower()}\n\n'
                    f'[stream.out]\ntopic = "{self.target}"\ndead_letters = "rejected"\n')
        folder = ROOT / "target" / "bench"
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / f"{job}.toml"
        file.write_text(manifest)
        world.helenus("job", "create", str(file))
        self.job = job
        self.start([world.program("helenus"), "stream", job], {**world.environment, "HELENUS_KAFKA_BROKERS": broker.bootstrap})


class Peer(Running):
    def __init__(self, broker, mode, topic, name):
        self.target = f"answers-python-{name}-{mode}"
        broker.topics(self.target)
        self.start([PEER, ROOT / "bench" / "stream" / "peer.py", mode, broker.bootstrap, topic, self.target, self.target, MODEL, FEATURES_FILE()], {})


def FEATURES_FILE():
    """The columns' names in the model's order, one a line."""
    file = ROOT / "target" / "bench" / "columns.txt"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("\n".join(kafka.NAMES) + "\n")
    return file


def throughput(broker, running, count):
    """Of a backlog, without its first tenth: connecting and loading are not in it."""
    pid = running.process.pid
    broker_before = broker.cpu_seconds()
    tenths, keys = kafka.await_messages(broker, running.target, count, running.process, 600)
    if keys != count:
        sys.exit(f"{running.target} has answers for {keys} of {count} messages")
    return {"messages_per_s": 0.9 * count / (tenths[-1] - tenths[0]), "cpu_us": cpu_seconds(pid) / count * 1e6, "rss_mib": running.rss_mib(),
            "broker_cpu_us": (broker.cpu_seconds() - broker_before) / count * 1e6}


def paced(broker, topic, rate, seconds, first, on_tick):
    """Sends at a rate, each message when it is due; gives when each was due."""
    producer = broker.producer(**{"linger.ms": 0})
    began, due = time.monotonic() + 0.2, {}
    for number, (key, value) in enumerate(kafka.messages(rate * seconds, 7, first)):
        at = began + number / rate
        while time.monotonic() < at:
            on_tick(min(0.002, max(0.0, at - time.monotonic())))
        due[int(key)] = at
        producer.produce(topic, value, key=key)
        producer.poll(0)
    producer.flush(30)
    return due


def latencies(broker, topic, running, seconds):
    """From when a message was due to when its answer can be read."""
    command = [sys.executable, ROOT / "bench" / "stream" / "arrivals.py", broker.bootstrap, running.target]
    arrived, warm = {}, 500
    with subprocess.Popen([str(word) for word in command], stdout=subprocess.PIPE, text=True) as reader:
        try:
            threading.Thread(target=note, args=(reader.stdout, arrived), daemon=True).start()
            for key, value in kafka.messages(warm, 3, first=10_000_000):
                broker_producer(broker).produce(topic, value, key=key)
            broker_producer(broker).flush(30)
            await_arrivals(arrived, warm, 120, running)
            due = paced(broker, topic, RATE, seconds, 0, time.sleep)
            await_arrivals(arrived, warm + len(due), 30, running)
        finally:
            reader.terminate()
    took = sorted((arrived[key] - at) * 1e3 for key, at in due.items())
    return {"p50_ms": round(took[len(took) // 2], 2), "p99_ms": round(took[len(took) * 99 // 100], 2), "max_ms": round(took[-1], 1)}


def note(lines, arrived):
    for line in lines:
        key, at = line.split("\t")
        arrived.setdefault(identity(key), float(at))


def await_arrivals(arrived, count, seconds, running):
    deadline = time.monotonic() + seconds
    while len(arrived) < count:
        if time.monotonic() > deadline or running.process.poll() is not None:
            sys.exit(f"{running.target}: {len(arrived)} of {count} messages have an answer; see {running.log}")
        time.sleep(0.05)


PRODUCERS = {}


def broker_producer(broker):
    return PRODUCERS.setdefault(broker.bootstrap, broker.producer())


def identity(key):
    """The row's number: a peer keeps the key, helenus's key is an object."""
    key = json.loads(key)
    return key["id"] if isinstance(key, dict) else key


def stored_after(world, broker, model, seconds):
    """From a message to its prediction in the table, by a trigger on hints and one worker."""
    broker.topics("stored")
    with Stream(world, broker, "stored", "stored", model, upsert=True) as running, Worker(world):
        world.helenus("trigger", "add", running.job, "arrived", "--oldest-wait", "1s", "--use-hints")
        # Until the trigger is answered and the stream has its partitions.
        time.sleep(3 if world.options.quick else 15)
        read = world.session.prepare(f"SELECT id FROM {DATA}.{running.job}_predictions WHERE id = ?")
        step = max(1, STORED_RATE * seconds // WATCHED)
        waiting, found = set(), {}
        first = 20_000_000
        watched = iter(range(first, first + STORED_RATE * seconds, step))
        waiting.update(watched)

        def look(patience):
            if waiting:
                # The oldest first; those to come are not asked for.
                key = min(waiting)
                if world.session.execute(read, (key,)).one():
                    found[key] = time.monotonic()
                    waiting.discard(key)
            time.sleep(patience)

        due = paced(broker, "stored", STORED_RATE, seconds, first, look)
        deadline = time.monotonic() + 120
        while waiting and time.monotonic() < deadline:
            look(0.01)
    if waiting:
        sys.exit(f"{len(waiting)} of {WATCHED} predictions were not stored; see {running.log}")
    took = sorted(found[key] - due[key] for key in found)
    return {"p50_s": round(took[len(took) // 2], 2), "p99_s": round(took[len(took) * 99 // 100], 2), "max_s": round(took[-1], 2)}
