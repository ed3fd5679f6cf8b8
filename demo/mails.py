"""What the demo of documents does with Kafka, as any client would.

    mails.py BOOTSTRAP send FIRST COUNT [--rate N]    mails with these ids to mail.in; prints how many are acknowledged
    mails.py BOOTSTRAP poison                         two messages that are no mails
    mails.py BOOTSTRAP departments [--first ID] [--count N] [--wait SECONDS]
                                                      who got what, by version; each mail must have come once
    mails.py BOOTSTRAP show TOPIC                     the last message of a topic with its headers
    mails.py BOOTSTRAP rejected                       the dead letters and why
"""
import argparse
import json
import sys
import time
from collections import Counter
from pathlib import Path

from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "models"))
sys.dont_write_bytecode = True
import mails  # noqa: E402

SEED = 2026
REJECTED = "mail.rejected"


def producer(asked):
    return Producer({"bootstrap.servers": asked.bootstrap, "enable.idempotence": True, "linger.ms": 2})


def send(asked):
    out, acknowledged = producer(asked), Counter()
    began = time.monotonic()
    for number in range(asked.count):
        mail = mails.mail(asked.first + number, SEED)
        # The department's people keep a mail's messages in order by its key.
        out.produce("mail.in", json.dumps(mail, ensure_ascii=False).encode(), key=str(mail["id"]).encode(),
                    on_delivery=lambda error, _: acknowledged.update(["failed" if error else "sent"]))
        out.poll(0)
        if asked.rate:
            time.sleep(max(0.0, began + (number + 1) / asked.rate - time.monotonic()))
    if out.flush(30) or acknowledged["failed"]:
        sys.exit(f"not all mails were sent: {acknowledged}")
    print(f"{acknowledged['sent']} mails sent in {time.monotonic() - began:.1f} s")


def poison(asked):
    out = producer(asked)
    out.produce("mail.in", b"From: somebody\r\nThis is no JSON.", key=b"broken", headers=[("trace", b"demo")])
    out.produce("mail.in", json.dumps({"id": "seven", "body": "An id that is no number."}).encode(), key=b"seven")
    if out.flush(30):
        sys.exit("not sent")


def read(asked, topics):
    """Every message that a reader of committed messages sees now."""
    consumer = Consumer({"bootstrap.servers": asked.bootstrap, "group.id": "demo, which commits nothing", "enable.auto.commit": False,
                         "enable.partition.eof": True, "isolation.level": "read_committed"})
    known = consumer.list_topics(timeout=10).topics
    parts = [TopicPartition(topic, part, 0) for topic in topics if topic in known for part in known[topic].partitions]
    consumer.assign(parts)
    ended = set()
    while len(ended) < len(parts):
        message = consumer.poll(5)
        if message is None:
            sys.exit("the broker does not answer")
        if message.error():
            if message.error().code() != KafkaError._PARTITION_EOF:
                sys.exit(str(message.error()))
            ended.add((message.topic(), message.partition()))
            continue
        yield message
    consumer.close()


def headers_of(message):
    return {name: raw.decode() for name, raw in message.headers() or []}


def departments(asked):
    wanted = range(asked.first, asked.first + asked.count)
    topics = [f"mail.{name}" for name in mails.DEPARTMENTS]
    deadline = time.monotonic() + asked.wait
    while True:
        seen, table, right = Counter(), Counter(), Counter()
        for message in read(asked, topics):
            body = json.loads(message.value())
            identity, version = body["key"]["id"], body["version"]
            if identity in wanted:
                seen[identity] += 1
                table[message.topic(), version] += 1
                right[version] += message.topic() == f"mail.{mails.truth_of(identity, SEED)}"
        if len(seen) == len(wanted) or time.monotonic() > deadline:
            break
        time.sleep(0.3)
    versions = sorted({version for _, version in table})
    print("topic           " + "".join(f"  version {version}" for version in versions))
    for topic in topics:
        print(f"{topic:16}" + "".join(f"{table[topic, version]:11}" for version in versions))
    print(f"{'right':16}" + "".join(f"{right[v] / max(1, sum(table[t, v] for t in topics)):11.1%}" for v in versions))
    missing, twice = len(wanted) - len(seen), sum(count > 1 for count in seen.values())
    print(f"{len(wanted)} mails: {len(seen)} arrived, {missing} missing, {twice} more than once")
    sys.exit(1 if missing or twice else 0)


def show(asked):
    last = None
    for message in read(asked, [asked.topic]):
        last = message
    if last is None:
        sys.exit(f"{asked.topic} is empty")
    print(f"key      {last.key().decode()}")
    for name, value in headers_of(last).items():
        print(f"header   {name}: {value}")
    print("value    " + json.dumps(json.loads(last.value()), indent=1).replace("\n", "\n         "))


def rejected(asked):
    for message in read(asked, [REJECTED]):
        headers = headers_of(message)
        print(f"key {message.key().decode()!r}, value {message.value()[:40]!r}")
        for name, value in headers.items():
            print(f"    {name}: {value}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bootstrap")
    commands = parser.add_subparsers(dest="command", required=True)
    sending = commands.add_parser("send")
    sending.add_argument("first", type=int)
    sending.add_argument("count", type=int)
    sending.add_argument("--rate", type=float)
    commands.add_parser("poison")
    counting = commands.add_parser("departments")
    counting.add_argument("--first", type=int, default=1)
    counting.add_argument("--count", type=int, default=1)
    counting.add_argument("--wait", type=float, default=30)
    commands.add_parser("show").add_argument("topic")
    commands.add_parser("rejected")
    asked = parser.parse_args()
    globals()[asked.command](asked)


if __name__ == "__main__":
    main()
