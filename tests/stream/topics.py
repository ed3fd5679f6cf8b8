"""Writes and reads topics as any other client would, in JSON lines.

    topics.py BOOTSTRAP read TOPIC [--count N] [--seconds S] [--uncommitted]
    topics.py BOOTSTRAP write TOPIC                messages from standard input
    topics.py BOOTSTRAP create TOPIC [--partitions N] [--anew]   --anew: what is in it is deleted before
    topics.py BOOTSTRAP committed GROUP TOPIC      {"0": 17, …}: the group's offsets
    topics.py BOOTSTRAP forget GROUP               deletes a group that has no members

A message: {"key": text, "value": text or null, "headers": {name: text}, "partition": 0, "offset": 7, "timestamp": ms}. Instead of `value`
an object may stand in `json`, and bytes as hexadecimal digits in `value_hex`; what is read and is not UTF-8 comes as `value_hex`, too.
Without --count everything is read that a reader of committed messages sees now; with it, reading ends after N messages or S seconds.
"""
import argparse
import json
import sys
import time

from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic


def settings(asked, **more):
    own = dict(word.split("=", 1) for word in asked.set)
    return {"bootstrap.servers": asked.bootstrap, "socket.timeout.ms": 10000, "log_level": 3, **own, **more}


def partitions_of(client, topic):
    found = client.list_topics(topic, timeout=20).topics[topic]
    if found.error:
        sys.exit(f"{topic}: {found.error}")
    return sorted(found.partitions)


def as_text(raw, name):
    if raw is None:
        return {name: None}
    try:
        return {name: raw.decode()}
    except UnicodeDecodeError:
        return {f"{name}_hex": raw.hex()}


def read(asked):
    consumer = Consumer(settings(asked, **{
        "group.id": "topics.py, which commits nothing", "enable.auto.commit": False, "enable.partition.eof": True,
        "isolation.level": "read_uncommitted" if asked.uncommitted else "read_committed"}))
    partitions = partitions_of(consumer, asked.topic)
    consumer.assign([TopicPartition(asked.topic, partition, 0) for partition in partitions])
    at_end, seen, deadline = set(), 0, time.monotonic() + asked.seconds
    while time.monotonic() < deadline:
        message = consumer.poll(0.2)
        if message is None:
            continue
        if message.error():
            if message.error().code() == KafkaError._PARTITION_EOF:
                at_end.add(message.partition())
                if asked.count is None and len(at_end) == len(partitions):
                    break
                continue
            sys.exit(f"{asked.topic}: {message.error()}")
        headers = {name: raw.decode(errors="replace") if raw is not None else None for name, raw in message.headers() or []}
        print(json.dumps({"partition": message.partition(), "offset": message.offset(), "timestamp": message.timestamp()[1],
                          "headers": headers, **as_text(message.key(), "key"), **as_text(message.value(), "value")}))
        seen += 1
        if seen == asked.count:
            break
    else:
        if asked.count is not None:
            print(f"{seen} of {asked.count} messages after {asked.seconds:g} s", file=sys.stderr)
    consumer.close()


def as_bytes(message):
    if "value_hex" in message:
        return bytes.fromhex(message["value_hex"])
    value = json.dumps(message["json"], ensure_ascii=False) if "json" in message else message.get("value")
    return None if value is None else value.encode()


def write(asked):
    producer = Producer(settings(asked, **{"enable.idempotence": True, "linger.ms": 5}))
    failed = []
    for line in sys.stdin:
        message = json.loads(line)
        key = message.get("key")
        producer.produce(
            asked.topic, value=as_bytes(message), key=None if key is None else key.encode(),
            headers=[(name, None if text is None else text.encode()) for name, text in message.get("headers", {}).items()],
            partition=message.get("partition", -1), timestamp=message.get("timestamp", 0),
            on_delivery=lambda error, _: failed.append(str(error)) if error else None)
        producer.poll(0)
    if producer.flush(30) or failed:
        sys.exit(f"{asked.topic}: not delivered: {failed[:3] or 'no answer after 30 s'}")


def create(asked):
    # A client without a name would be destroyed before its answer comes.
    admin = AdminClient(settings(asked))
    if asked.anew and asked.topic in admin.list_topics(timeout=20).topics:
        admin.delete_topics([asked.topic], operation_timeout=20)[asked.topic].result(timeout=30)
        while asked.topic in admin.list_topics(timeout=20).topics:
            time.sleep(0.1)
    admin.create_topics([NewTopic(asked.topic, asked.partitions, 1)], operation_timeout=20)[asked.topic].result(timeout=30)


def forget(asked):
    admin = AdminClient(settings(asked))
    admin.delete_consumer_groups([asked.group], request_timeout=20)[asked.group].result(timeout=30)


def committed(asked):
    consumer = Consumer(settings(asked, **{"group.id": asked.group}))
    found = consumer.committed([TopicPartition(asked.topic, partition) for partition in partitions_of(consumer, asked.topic)], timeout=20)
    print(json.dumps({str(one.partition): one.offset for one in found if one.offset >= 0}))
    consumer.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bootstrap")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="of librdkafka, for example security.protocol=SASL_SSL")
    commands = parser.add_subparsers(dest="command", required=True)
    reading = commands.add_parser("read")
    reading.add_argument("topic")
    reading.add_argument("--count", type=int)
    reading.add_argument("--seconds", type=float, default=30)
    reading.add_argument("--uncommitted", action="store_true")
    commands.add_parser("write").add_argument("topic")
    creating = commands.add_parser("create")
    creating.add_argument("topic")
    creating.add_argument("--anew", action="store_true")
    creating.add_argument("--partitions", type=int, default=4)
    commands.add_parser("forget").add_argument("group")
    offsets = commands.add_parser("committed")
    offsets.add_argument("group")
    offsets.add_argument("topic")
    asked = parser.parse_args()
    globals()[asked.command](asked)


if __name__ == "__main__":
    main()
