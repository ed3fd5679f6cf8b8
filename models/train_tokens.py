"""Embeddings of mails from tokens: a WordPiece vocabulary and latent semantic analysis, as a graph that takes what BERT's take.

`last_hidden_state` is [N, tokens, 16]; its number of tokens is open in the file, and set at push (`push.txt`). Averaging over the mask is
the job's: padding has a vector that is not zero, so a mean that forgets the mask is wrong. numpy stands in for a training library.
"""

from __future__ import annotations

import common  # first: sets the thread counts

import os
from collections import Counter

os.environ["TOKENIZERS_PARALLELISM"] = "false"

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

import mails
from common import IR_VERSION, Feature, Table, pick, publish

NAME = "mails_tokens"
LEARNED, STORED, SEED = 4_000, 120, 1
VOCABULARY, TOKENS, WIDTH = 600, 24, 16
INPUTS = ["input_ids", "attention_mask", "token_type_ids"]
STRANGE = ["", "   ", "????", "Größe 5 — naïve café, 東京", "INVOICE Invoice iNvOiCe", "שלום עולם", "e\u0301te\u0301", "👩‍👩‍👧 ok", "word " * 500, "x" * 500]


def trained(texts: list[str]) -> Tokenizer:
    """All letters as beginnings and as ends, and the most frequent words and ends of words. The package's own trainer orders equal
    counts by chance, so that its vocabulary differs from run to run."""
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    normalizer, splitter = normalizers.BertNormalizer(lowercase=True), pre_tokenizers.BertPreTokenizer()
    counts = Counter(word for text in texts for word, _ in splitter.pre_tokenize_str(normalizer.normalize_str(text)))
    letters = sorted({letter for word in counts for letter in word})
    pieces = Counter()
    for word, count in counts.items():
        pieces[word] += count
        for end in (word[-length:] for length in (2, 3) if len(word) > length + 2):
            pieces["##" + end] += count
    frequent = [piece for piece, _ in sorted(pieces.items(), key=lambda item: (-item[1], item[0])) if len(piece) > 1]
    tokens = special + letters + ["##" + letter for letter in letters]
    tokens += frequent[:VOCABULARY - len(tokens)]
    tokenizer = Tokenizer(models.WordPiece({token: at for at, token in enumerate(tokens)}, unk_token="[UNK]"))
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizer, splitter
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=[(t, tokenizer.token_to_id(t)) for t in special[2:]])
    return tokenizer


def vectors(tokenizer: Tokenizer, texts: list[str]) -> np.ndarray:
    """A vector per token: the strongest directions in which the (weighted) tokens of mails vary together."""
    counts = np.zeros((len(texts), tokenizer.get_vocab_size()))
    for row, encoded in enumerate(tokenizer.encode_batch(texts)):
        np.add.at(counts[row], encoded.ids, 1.0)
    weights = np.log((1 + len(texts)) / (1 + (counts > 0).sum(0))) + 1
    weighted = np.log1p(counts) * weights
    weighted /= np.linalg.norm(weighted, axis=1, keepdims=True)
    values, directions = np.linalg.eigh(weighted.T @ weighted)
    # The first direction is what all mails have in common.
    order = np.argsort(-values)[1:WIDTH + 1]
    found = directions[:, order]
    found *= np.sign(found[np.abs(found).argmax(0), np.arange(WIDTH)])
    table = found * weights[:, None]
    table /= table.std(0)
    table[tokenizer.token_to_id("[PAD]")] = 3.0
    # Few digits: golden rows stay short.
    return table.round(2).astype(np.float32)


def graph(table: np.ndarray) -> onnx.ModelProto:
    types = np.array([[0.25] * WIDTH, [-0.25] * WIDTH], np.float32)
    weights = [numpy_helper.from_array(value, name) for name, value in
               [("table", table), ("types", types), ("half", np.float32(0.5)), ("one", np.float32(1.0)), ("last", np.array([2], np.int64))]]
    nodes = [helper.make_node("Gather", ["table", "input_ids"], ["tokens"]),
             helper.make_node("Gather", ["types", "token_type_ids"], ["typed"]),
             helper.make_node("Add", ["tokens", "typed"], ["sum"]),
             helper.make_node("Cast", ["attention_mask"], ["mask"], to=TensorProto.FLOAT),
             helper.make_node("Mul", ["mask", "half"], ["halves"]),
             helper.make_node("Add", ["halves", "one"], ["factors"]),
             helper.make_node("Unsqueeze", ["factors", "last"], ["column"]),
             helper.make_node("Mul", ["sum", "column"], ["last_hidden_state"])]
    inputs = [helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "tokens"]) for name in INPUTS]
    output = helper.make_tensor_value_info("last_hidden_state", TensorProto.FLOAT, ["batch", "tokens", WIDTH])
    made = helper.make_graph(nodes, NAME, inputs, [output], weights)
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 15)], ir_version=IR_VERSION)


def fed(tokenizer: Tokenizer, texts: list[str]) -> list[np.ndarray]:
    tokenizer.enable_truncation(TOKENS)
    tokenizer.enable_padding(length=TOKENS, pad_id=tokenizer.token_to_id("[PAD]"))
    encoded = tokenizer.encode_batch(texts)
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return [np.array([getattr(one, kind) for one in encoded], np.int64) for kind in ("ids", "attention_mask", "type_ids")]


def hidden(table: np.ndarray, ids, mask, types) -> np.ndarray:
    return (table[ids] + np.where(types[..., None] == 0, np.float32(0.25), np.float32(-0.25))) * (1 + np.float32(0.5) * mask[..., None].astype(np.float32))


def embeddings(states: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """As sentence-transformers pools and normalises."""
    states = states.astype(np.float64)
    pooled = (states * mask[..., None]).sum(1) / np.maximum(mask.sum(1, keepdims=True), 1e-9)
    return pooled / np.maximum(np.linalg.norm(pooled, axis=1, keepdims=True), 1e-12)


def main() -> None:
    learned = [mails.mail(number, SEED)["body"] for number in range(1, LEARNED + 1)]
    tokenizer = trained(learned)
    table = vectors(tokenizer, learned)
    stored = [mails.mail(number, SEED)["body"] for number in range(LEARNED + 1, LEARNED + STORED + 1)]
    bodies = stored + STRANGE + [None]
    inputs = fed(tokenizer, [body or "" for body in bodies])
    states = hidden(table, *inputs)
    model = graph(table)
    scored = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"]).run(None, dict(zip(INPUTS, inputs)))[0]
    assert np.allclose(scored, states, rtol=1e-6, atol=1e-7), "ONNX Runtime differs from numpy"
    truth = [mails.truth_of(number, SEED) for number in range(LEARNED + 1, LEARNED + STORED + 1)]
    answers = embeddings(states, inputs[1])
    likeness = answers[:STORED] @ answers[:STORED].T - 2 * np.eye(STORED)
    print(f"{NAME}: {np.mean([truth[row.argmax()] == truth[at] for at, row in enumerate(likeness)]):.3f} of mails have a nearest one of their department")

    chosen = pick(STORED)
    heads = [f"in.{name}[{place}]" for name in INPUTS for place in range(TOKENS)]
    heads += [f"out.last_hidden_state[{place}]" for place in range(TOKENS * WIDTH)]
    golden = [[int(part[row, place]) for part in inputs for place in range(TOKENS)] + list(states[row].reshape(-1)) for row in chosen]
    predictions = [[[float(value) for value in row]] for row in answers[:-1]] + [None]
    rules = {"as": "tokens", "tokenizer": "mails", "max_length": TOKENS}
    publish(NAME, model, Table("mails", {"id": "int", "body": "text"}), [{"id": at, "body": body} for at, body in enumerate(bodies, 1)],
            features=[Feature("text", "body", rules)], expected=["embedding"], predictions=predictions, golden=(heads, golden),
            columns={"embedding": {"output": "last_hidden_state", "mean_pool": "attention_mask", "l2_normalise": True}})
    folder = common.ROOT / NAME
    (folder / "tokenizer.json").write_text(tokenizer.to_str(pretty=False) + "\n")
    (folder / "push.txt").write_text("".join(f"--width\n{name}={TOKENS}\n" for name in INPUTS) + "--artifact\nmails={folder}/tokenizer.json\n")
    with (folder / "job.toml").open("a") as manifest:
        manifest.write('\n[rules]\nmax_rejected = "1%"\n')


if __name__ == "__main__":
    main()
