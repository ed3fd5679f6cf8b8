"""Where a mail stands among mails, as two iterations of one model: 32 numbers from its words, and from its words and pairs of words.

Mails of one subject point the same way (latent semantic analysis: TF-IDF, then a truncated SVD, then length 1). The two iterations are
two spaces: the vectors of one mean nothing in the other. A mail without any known word is a zero vector, which no index by cosine can
hold, so that the job rejects it.
"""

from __future__ import annotations

import common  # first: sets the thread counts

import numpy as np
from skl2onnx import to_onnx
from skl2onnx.common.data_types import StringTensorType
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer

import mails
from common import OPSET, Feature, Table, pick, publish
from train_mails import SEED, STRANGE

LEARNED, STORED, WIDTH = 4_000, 100, 32


def export(pipeline):
    return to_onnx(pipeline, initial_types=[("body", StringTensorType([None, 1]))], target_opset=OPSET,
                   options={TfidfVectorizer: {"tokenexp": r"[\pL\pN_]{2,}"}})


def main() -> None:
    def made(count, first):
        return [mails.mail(number, SEED) for number in range(first, first + count)]

    learned = made(LEARNED, 1)
    rows = [{**mail, "id": mail["id"] - LEARNED} for mail in made(STORED, LEARNED + 1)]
    rows += [{"id": len(rows) + place, "received_at": None, "sender": None, "subject": None, "body": body} for place, body in enumerate(STRANGE + [None], 1)]
    table = Table("mails", {"id": "int", "received_at": "timestamp", "sender": "text", "subject": "text", "body": "text"})
    for name, pairs, features in (("mails_vectors", 1, 400), ("mails_vectors_pairs", 2, 900)):
        # TF-IDF has vectors of length 1 already; the Normalizer makes what the SVD leaves of them as long again.
        pipeline = make_pipeline(TfidfVectorizer(lowercase=False, min_df=3, max_features=features, ngram_range=(1, pairs)),
                                 TruncatedSVD(WIDTH, random_state=common.SEED), Normalizer()).fit([mail["body"].lower() for mail in learned])
        seen = [(row["body"] or "").lower() for row in rows]
        vectors = pipeline.transform(seen)
        rejected = [row["body"] is None or not np.any(vector) for row, vector in zip(rows, vectors)]
        chosen = pick(STORED)
        heads = ["in.body"] + [f"out.variable[{place}]" for place in range(WIDTH)]
        publish(name, export(pipeline), table, rows, features=[Feature("body", "body", {"text": "lower"})],
                columns={"embedding": {"output": "variable", "index": "cosine"}}, expected=["embedding"],
                predictions=[None if no else [list(map(np.float32, vector))] for no, vector in zip(rejected, vectors)],
                golden=(heads, [[seen[place], *map(np.float32, vectors[place])] for place in chosen]))
        with (common.ROOT / name / "job.toml").open("a") as manifest:
            manifest.write('\n[rules]\nmax_rejected = "5%"\n')


if __name__ == "__main__":
    main()
