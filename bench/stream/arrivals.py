"""When messages can be read: a reader of committed messages in a process of its own, so that it and the sender do not wait for each other.

    arrivals.py BOOTSTRAP TOPIC

Prints the key of each message and the monotonic clock's seconds, a line each, until it is told to end.
"""

import signal
import sys
import time

from confluent_kafka import Consumer


def main():
    bootstrap, topic = sys.argv[1:]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": f"bench {topic} {time.time_ns()}", "enable.auto.commit": False,
                         "auto.offset.reset": "earliest", "isolation.level": "read_committed", "fetch.wait.max.ms": 100, "log_level": 3})
    consumer.subscribe([topic])
    while True:
        # Gives a message as soon as there is one; `consume` would wait for as many as it may give.
        message = consumer.poll(1)
        if message is not None and not message.error():
            print(message.key().decode(), time.monotonic(), sep="\t", flush=True)


if __name__ == "__main__":
    main()
