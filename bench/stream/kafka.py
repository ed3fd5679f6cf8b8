"""A broker of the benchmark's own, what is sent to it and what comes back."""

import json
import random
import subprocess
import time

from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient, NewTopic

from measure import ROOT, cpu_seconds
from world import NAMES

PARTITIONS = 4


class Broker:
    """An instance of scripts/kafka with default settings; wiped at the end."""

    def __init__(self, name):
        self.name = name
        self.script("wipe")
        self.bootstrap = self.script("up", "--port", "0")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.script("wipe")

    def script(self, *words):
        command = [str(ROOT / "scripts" / "kafka"), *words, "--name", self.name]
        return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.strip().split("\n")[-1]

    def cpu_seconds(self):
        return cpu_seconds(int((ROOT / ".dev" / "kafka" / self.name / "broker.pid").read_text()))

    def topics(self, *names):
        admin = AdminClient({"bootstrap.servers": self.bootstrap})
        made = admin.create_topics([NewTopic(name, PARTITIONS, 1) for name in names], operation_timeout=20)
        for future in made.values():
            future.result(timeout=30)

    def producer(self, **settings):
        return Producer({"bootstrap.servers": self.bootstrap, "enable.idempotence": True, "linger.ms": 2, "compression.type": "lz4",
                         "queue.buffering.max.messages": 1_000_000, **settings})

    def consumer(self, topic):
        """A reader of committed messages, at the beginning of the topic."""
        consumer = Consumer({"bootstrap.servers": self.bootstrap, "group.id": f"bench {topic} {time.time_ns()}", "enable.auto.commit": False,
                             "auto.offset.reset": "earliest", "isolation.level": "read_committed", "fetch.wait.max.ms": 10, "log_level": 3})
        consumer.subscribe([topic])
        return consumer


def messages(count, seed, first=0):
    """Rows of 30 numbers as JSON, each with its own key: within the range of the models' data."""
    chance = random.Random(seed)
    for number in range(first, first + count):
        row = {"id": number, **{name: round(chance.uniform(0.01, 30.0), 4) for name in NAMES}}
        yield str(number).encode(), json.dumps(row).encode()


def fill(broker, topic, count, seed):
    producer = broker.producer()
    for key, value in messages(count, seed):
        producer.produce(topic, value, key=key)
        producer.poll(0)
    if producer.flush(60):
        raise RuntimeError(f"{topic} could not be filled")


def await_messages(broker, topic, count, process, seconds):
    """Reads `count` messages; gives when each tenth of them had come, and the distinct keys."""
    consumer, seen, keys, tenths = broker.consumer(topic), 0, set(), []
    deadline = time.monotonic() + seconds
    try:
        while seen < count:
            if time.monotonic() > deadline or process.poll() is not None:
                raise RuntimeError(f"{topic}: {seen} of {count} messages after {seconds} s, or the process ended: {process.poll()}")
            for message in consumer.consume(10_000, 0.05):
                if not message.error():
                    seen += 1
                    keys.add(message.key())
            while len(tenths) < 10 * seen // count:
                tenths.append(time.monotonic())
    finally:
        consumer.close()
    return tenths, len(keys)
