"""The same jobs as people write them in Python: read a table, prepare, score with onnxruntime, write the predictions.

    peer.py images each|batched|tuned CONTACT TABLE TARGET MODEL
    peer.py texts batched CONTACT TABLE TARGET MODEL TOKENIZER

`each`: one image a call of the session; `batched`: 16 images a call, or 256 texts. Both have onnxruntime's default threads, one per
core. `tuned`: 16 images a call of a session with one thread, while a pool of threads, one per core, decodes the next ones.
All have prepared statements, pages of a size that suits the rows, and up to 128 writes in flight. Changed rows, broken files
and crashes are not handled.
"""

import collections
import concurrent.futures
import datetime
import io
import itertools
import json
import os
import sys

import numpy as np
import onnxruntime
from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, ExecutionProfile
from cassandra.query import ConsistencyLevel
from PIL import Image
from tokenizers import Tokenizer

# The driver's default, 5,000 rows, would be 800 MB of images.
IMAGES_PER_PAGE = 32
BATCH = {"images": 16, "texts": 256}
WRITES = 128
MEAN = np.array([0.485, 0.456, 0.406], np.float32)
STD = np.array([0.229, 0.224, 0.225], np.float32)
LABELS = ["0", "90", "180", "270"]
OUTPUTS = {"images": ["label", *(f"p_{label}" for label in LABELS)], "texts": ["embedding"]}
TOKENS = 24


def main():
    what, mode, contact, table, target, model, *tokenizer = sys.argv[1:]
    host, _, port = contact.rpartition(":")
    profile = ExecutionProfile(consistency_level=ConsistencyLevel.LOCAL_QUORUM, request_timeout=120)
    cluster = Cluster([host], port=int(port), execution_profiles={EXEC_PROFILE_DEFAULT: profile})
    session = cluster.connect()
    writer = Writer(session, target, OUTPUTS[what])
    options = onnxruntime.SessionOptions()
    if mode == "tuned":
        # The pool has the other cores.
        options.intra_op_num_threads = 1
    scorer = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    if what == "images":
        session.default_fetch_size = IMAGES_PER_PAGE
        rows = session.execute(f"SELECT id, page FROM {table}")
        (decoded_ahead if mode == "tuned" else images)(rows, scorer, writer, 1 if mode == "each" else BATCH["images"])
    else:
        texts(session.execute(f"SELECT id, body FROM {table}"), scorer, writer, Tokenizer.from_file(*tokenizer))
    writer.finish()
    cluster.shutdown()
    print(json.dumps({"scored": writer.count}))


class Writer:
    """Inserts without waiting for each, but never more than WRITES at a time."""

    def __init__(self, session, target, columns):
        self.session = session
        names = ["id", "model", "scored_at", *columns]
        self.insert = session.prepare(f"INSERT INTO {target} ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})")
        self.waiting = collections.deque()
        self.count = 0

    def write(self, identity, *values):
        if len(self.waiting) == WRITES:
            self.waiting.popleft().result()
        now = datetime.datetime.now(datetime.timezone.utc)
        self.waiting.append(self.session.execute_async(self.insert, (identity, "1", now, *values)))
        self.count += 1

    def finish(self):
        while self.waiting:
            self.waiting.popleft().result()


def batches(rows, size):
    # The driver's results begin their page anew for each iter(), which islice calls.
    rows = (row for row in rows)
    while batch := list(itertools.islice(rows, size)):
        yield batch


def prepared(content):
    """The shorter side to 256, the centre of 224; blue first, as the model was trained."""
    image = Image.open(io.BytesIO(content)).convert("RGB")
    width, height = image.size
    size = (256, int(256 * height / width)) if width <= height else (int(256 * width / height), 256)
    image = image.resize(size, Image.Resampling.LANCZOS)
    left, top = round((image.width - 224) / 2), round((image.height - 224) / 2)
    pixels = np.asarray(image.crop((left, top, left + 224, top + 224)), np.float32)[:, :, ::-1] / 255
    return ((pixels - MEAN) / STD).transpose(2, 0, 1)


def score_images(identities, inputs, scorer, writer):
    (scores,) = scorer.run(None, {"x": np.stack(inputs)})
    for identity, shares in zip(identities, scores):
        writer.write(identity, LABELS[shares.argmax()], *shares.tolist())


def images(rows, scorer, writer, size):
    for batch in batches(rows, size):
        score_images([row.id for row in batch], [prepared(row.page) for row in batch], scorer, writer)


def decoded_ahead(rows, scorer, writer, size):
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        ahead = collections.deque()

        def score_oldest():
            identities, decoding = ahead.popleft()
            score_images(identities, [one.result() for one in decoding], scorer, writer)

        for batch in batches(rows, size):
            ahead.append(([row.id for row in batch], [pool.submit(prepared, row.page) for row in batch]))
            if len(ahead) > 2:
                score_oldest()
        while ahead:
            score_oldest()


def texts(rows, scorer, writer, tokenizer):
    tokenizer.enable_truncation(TOKENS)
    tokenizer.enable_padding(length=TOKENS)
    for batch in batches(rows, BATCH["texts"]):
        encoded = tokenizer.encode_batch([row.body for row in batch])
        ids, mask, types = (np.array([getattr(one, kind) for one in encoded], np.int64) for kind in ("ids", "attention_mask", "type_ids"))
        (states,) = scorer.run(None, {"input_ids": ids, "attention_mask": mask, "token_type_ids": types})
        weights = mask[..., None].astype(np.float32)
        pooled = (states * weights).sum(1) / np.maximum(weights.sum(1), 1e-9)
        embeddings = pooled / np.maximum(np.linalg.norm(pooled, axis=1, keepdims=True), 1e-12)
        for row, embedding in zip(batch, embeddings.tolist()):
            writer.write(row.id, embedding)


if __name__ == "__main__":
    main()
