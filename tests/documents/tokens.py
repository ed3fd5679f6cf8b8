"""What the Python package `tokenizers` makes of many texts, for helenus to make the same.

    python tokens.py FOLDER [COUNT [SEED]]

Trains a tokenizer of each kind on texts made from the seed and writes FOLDER/<kind>.json, the texts as JSON lines (texts.jsonl), and for each
line of `CASES` the ids, masks and types as little-endian u32, text after text (<case>.bin); cases.json lists them.
"""

from __future__ import annotations

import json
import os
import random
import sys
from array import array
from pathlib import Path

os.environ["TOKENIZERS_PARALLELISM"] = "false"

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

# First and last letters of ten scripts.
SCRIPTS = {"latin": "Az", "latin_accents": "Àž", "greek": "Άώ", "cyrillic": "Аџ", "hebrew": "את", "arabic": "ءي", "devanagari": "अह", "thai": "กฮ",
           "hangul": "가힣", "han": "一龥", "kana": "ぁヶ"}
MARKS = ["\u0301", "\u0308", "\u093f", "\u0e31", "\u05b7", "\u064e", "\u20dd"]
ODD = ["👩‍👩‍👧", "🏳️‍🌈", "👍🏽", "🇪🇺", "\u202e", "\u200b", "\ufeff", "\u0000", "\x1b", "\t", "\r\n", "\u00a0", "\u3000", "\u2028", "ﬁ", "①", "½", "İ", "ß", "ſ", "...", "don't",
       "I'LL", "3.14", "1,000", "[CLS]", "<s>", "</s>", "##x", "_", "@#%", "\ud7a3", "\U0010ffff", "\U00020000"]
# kind, max_length, where long texts are cut and short ones filled
CASES = {"wordpiece_right": ("wordpiece", 48, "right", "right"), "wordpiece_left": ("wordpiece", 16, "left", "left"),
         "bpe_right": ("bpe", 48, "right", "right"), "bpe_left": ("bpe", 7, "left", "right"), "unigram_right": ("unigram", 48, "right", "right")}


def word(chance: random.Random) -> str:
    script = chance.choice(list(SCRIPTS.values()))
    letters = [chr(chance.randint(ord(script[0]), ord(script[1]))) for _ in range(chance.randint(1, 9))]
    if chance.random() < 0.2:
        letters.insert(chance.randint(1, len(letters)), chance.choice(MARKS))
    return "".join(letters)


def text(chance: random.Random, frequent: list[str]) -> str:
    parts = []
    for _ in range(chance.choice([0, 1, 2, 5, 10, 40])):
        parts.append(chance.choice(frequent) if chance.random() < 0.6 else chance.choice(ODD) if chance.random() < 0.3 else word(chance))
        parts.append(chance.choice([" ", " ", " ", "  ", "", "\n", ", ", "-"]))
    return "".join(parts)


def long_texts(chance: random.Random, frequent: list[str]) -> list[str]:
    size = 1 << 20
    made = ["a" * size, "é" * (size // 2), "漢" * (size // 3), " " * 200_000 + "x", "👍" * (size // 4), "a " * (size // 2), "\n" * 100_000]
    return made + [" ".join(chance.choice(frequent) for _ in range(size // 12))]


def wordpiece(corpus: list[str]) -> Tokenizer:
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    tokenizer.train_from_iterator(corpus, trainers.WordPieceTrainer(vocab_size=1200, special_tokens=special, show_progress=False))
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1",
                                                            special_tokens=[(t, tokenizer.token_to_id(t)) for t in special[2:]])
    return tokenizer


def bpe(corpus: list[str]) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = ["<s>", "<pad>", "</s>"]
    tokenizer.train_from_iterator(corpus, trainers.BpeTrainer(vocab_size=1200, special_tokens=special, show_progress=False,
                                                              initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", tokenizer.token_to_id("</s>")), ("<s>", tokenizer.token_to_id("<s>")))
    return tokenizer


def unigram(corpus: list[str]) -> Tokenizer:
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    special = ["<s>", "<pad>", "</s>", "<unk>"]
    tokenizer.train_from_iterator(corpus, trainers.UnigramTrainer(vocab_size=6000, special_tokens=special, unk_token="<unk>", show_progress=False))
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", tokenizer.token_to_id("</s>"))])
    return tokenizer


def main() -> None:
    folder = Path(sys.argv[1])
    count, seed = (int(given) for given in (sys.argv[2:] + ["10000", "1"][len(sys.argv) - 2:]))
    chance = random.Random(seed)
    frequent = [word(chance) for _ in range(400)] + ["the", "invoice", "don't", "hello", "Größe", "naïve", "東京", "привет", "שלום"]
    corpus = [text(chance, frequent) for _ in range(600)]
    texts = long_texts(chance, frequent)
    texts += ["", " ", *ODD]
    texts += [text(chance, frequent) for _ in range(count - len(texts))]
    (folder / "texts.jsonl").write_text("".join(json.dumps(one) + "\n" for one in texts))
    made = {"wordpiece": wordpiece(corpus), "bpe": bpe(corpus), "unigram": unigram(corpus)}
    for kind, tokenizer in made.items():
        tokenizer.save(str(folder / f"{kind}.json"), pretty=False)
    for case, (kind, length, truncation, padding) in CASES.items():
        tokenizer = Tokenizer.from_file(str(folder / f"{kind}.json"))
        pad = next(token for token in ("[PAD]", "<pad>") if tokenizer.token_to_id(token) is not None)
        tokenizer.enable_truncation(length, direction=truncation)
        tokenizer.enable_padding(direction=padding, length=length, pad_id=tokenizer.token_to_id(pad), pad_token=pad)
        values = array("I")
        for one in texts:
            encoded = tokenizer.encode(one)
            assert len(encoded.ids) == length
            values.extend(encoded.ids + encoded.attention_mask + encoded.type_ids)
        (folder / f"{case}.bin").write_bytes(values.tobytes())
    cases = [{"name": case, "kind": kind, "max_length": length, "truncation": truncation, "padding": padding}
             for case, (kind, length, truncation, padding) in CASES.items()]
    (folder / "cases.json").write_text(json.dumps(cases))


if __name__ == "__main__":
    main()
