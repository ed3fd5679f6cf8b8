"""A consumer that scores messages, as people write it: confluent-kafka and onnxruntime.

    peer.py each|batched BOOTSTRAP IN OUT GROUP MODEL NAMES_FILE

`each`: poll a message, score it, produce the answer; offsets are committed by the client, every five seconds. `batched`: the same with
up to 500 messages at a time, and one call of the session for all of them. Neither has transactions: a crash repeats messages.
"""

import json
import signal
import sys

import numpy as np
import onnxruntime
from confluent_kafka import Consumer, Producer


def main():
    mode, bootstrap, source, target, group, model, names_file = sys.argv[1:]
    with open(names_file) as file:
        names = file.read().split("\n")[:30]
    options = onnxruntime.SessionOptions()
    # Faster for small batches than a pool of threads.
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options)
    name = session.get_inputs()[0].name
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": group, "auto.offset.reset": "earliest"})
    producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 2, "queue.buffering.max.messages": 1_000_000})
    consumer.subscribe([source])
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    count = 1 if mode == "each" else 500
    while True:
        if mode == "each":
            message = consumer.poll(0.1)
            messages = [] if message is None or message.error() else [message]
        else:
            messages = [message for message in consumer.consume(count, 0.02) if not message.error()]
        if not messages:
            producer.poll(0)
            continue
        rows = [json.loads(message.value()) for message in messages]
        inputs = np.array([[row[name] for name in names] for row in rows], dtype=np.float32)
        labels, scores = session.run(None, {name: inputs})
        # A ZipMap's maps are given as they are.
        scores = scores if isinstance(scores, list) else scores.tolist()
        for message, row, label, score in zip(messages, rows, labels.tolist(), scores):
            answer = {"key": {"id": row["id"]}, "label": label, "probabilities": score}
            producer.produce(target, json.dumps(answer).encode(), key=message.key())
        producer.poll(0)


if __name__ == "__main__":
    main()
