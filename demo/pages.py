"""Scanned pages for the demo of documents: made from a seed, sent, turned by what a model says, counted.

    pages.py BOOTSTRAP send COUNT     pages to page.in, then one whose file is cut off
    pages.py BOOTSTRAP turn COUNT     for each prediction in page.orientation: the page, turned, to page.upright
    pages.py BOOTSTRAP broken         the dead letters and why
    pages.py BOOTSTRAP count COUNT    where the pages are; fails if one is lost, or is somewhere twice
    pages.py BOOTSTRAP text ID        the text of a page

A page is a letter, printed on white paper and put into the scanner in one of four ways and a little askew. No text is
recognised: the message of a page has its text in `body`, where the text recogniser of an office would put it.
"""
import argparse
import base64
import io
import json
import random
import sys
import textwrap
import time
from collections import Counter
from pathlib import Path

from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition
from PIL import Image, ImageChops, ImageDraw, ImageFont, ImageStat

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "models"))
sys.dont_write_bytecode = True
import mails  # noqa: E402

SEED = 2026
FIRST = 9001
SCANNED, ORIENTATION, UPRIGHT, REJECTED = "page.in", "page.orientation", "page.upright", "page.rejected"
# How to turn an image back, by the model's classes: by how many degrees it is turned clockwise.
TURNS = {0: None, 90: Image.Transpose.ROTATE_90, 180: Image.Transpose.ROTATE_180, 270: Image.Transpose.ROTATE_270}
WAIT_S = 60


def turned(image, degrees):
    return image if degrees == 0 else image.transpose(TURNS[degrees])


def drawn(letter):
    """The letter as a page the right way up."""
    image = Image.new("L", (620, 877), 248)
    draw = ImageDraw.Draw(image)
    font = ImageFont.load_default(22)
    draw.text((50, 40), letter["sender"], font=font, fill=20)
    draw.text((50, 85), letter["subject"], font=ImageFont.load_default(34), fill=20)
    lines = [line for part in letter["body"].split("\n") for line in textwrap.wrap(part, 44) or [""]]
    draw.multiline_text((50, 150), "\n".join(lines), font=font, fill=20, spacing=10)
    return image


def scanned(identity):
    """A page as it lies in the scanner, and by how many degrees it is turned clockwise."""
    chance = random.Random(SEED * 1_000_003 + identity)
    angle = chance.choice(list(TURNS))
    image = drawn(mails.mail(identity, SEED)).rotate(chance.uniform(-2, 2), Image.Resampling.BILINEAR, fillcolor=248)
    return turned(image, -angle % 360), angle


def jpeg(image):
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=85)
    return buffer.getvalue()


def page_of(message):
    return base64.b64decode(message["page"]["b64"])


class Sender:
    """Sends pages to a topic and counts what the broker acknowledged."""

    def __init__(self, asked, topic):
        self.topic, self.sent, self.failed = topic, 0, 0
        self.out = Producer({"bootstrap.servers": asked.bootstrap, "enable.idempotence": True, "linger.ms": 2})

    def send(self, identity, content, body):
        value = {"id": identity, "page": {"b64": base64.b64encode(content).decode()}, "body": body}
        self.out.produce(self.topic, json.dumps(value).encode(), key=str(identity).encode(), on_delivery=self.note)
        self.out.poll(0)

    def note(self, error, _):
        if error:
            self.failed += 1
        else:
            self.sent += 1

    def finish(self):
        if self.out.flush(30) or self.failed:
            sys.exit(f"{self.topic}: {self.sent} pages sent, {self.failed} not")


def read(asked, topics, seconds=0.0):
    """Committed messages of topics from their beginning: what there is now, or what comes within some seconds."""
    consumer = Consumer({"bootstrap.servers": asked.bootstrap, "group.id": "demo, which commits nothing", "enable.auto.commit": False,
                         "enable.partition.eof": True, "isolation.level": "read_committed"})
    known = consumer.list_topics(timeout=10).topics
    parts = [TopicPartition(topic, part, 0) for topic in topics for part in known[topic].partitions]
    consumer.assign(parts)
    ended, deadline = set(), time.monotonic() + seconds
    while len(ended) < len(parts) or time.monotonic() < deadline:
        message = consumer.poll(0.2)
        if message is None:
            continue
        if message.error() is None:
            yield message
        elif message.error().code() == KafkaError._PARTITION_EOF:
            ended.add((message.topic(), message.partition()))
        else:
            sys.exit(str(message.error()))
    consumer.close()


def send(asked):
    sender, angles = Sender(asked, SCANNED), Counter()
    for identity in range(FIRST, FIRST + asked.count):
        image, angle = scanned(identity)
        angles[angle] += 1
        sender.send(identity, jpeg(image), mails.mail(identity, SEED)["body"])
    cut = FIRST + asked.count
    sender.send(cut, jpeg(scanned(cut)[0])[:2_000], "")
    sender.finish()
    print(f"{sender.sent} pages sent: " + ", ".join(f"{angles[angle]} turned by {angle}°" for angle in TURNS) + ", 1 cut off")


def turn(asked):
    """Passes each page on once it and its prediction are here, whichever came first."""
    sender, pages, labels, done = Sender(asked, UPRIGHT), {}, {}, Counter()
    for message in read(asked, [SCANNED, ORIENTATION], WAIT_S):
        value = json.loads(message.value())
        if message.topic() == SCANNED:
            identity = value["id"]
            pages[identity] = value
        else:
            identity = value["key"]["id"]
            labels[identity] = max(TURNS, key=lambda angle: value["outputs"][f"p_{angle}"])
        if identity in pages and identity in labels:
            page, angle = pages.pop(identity), labels.pop(identity)
            sender.send(identity, jpeg(turned(Image.open(io.BytesIO(page_of(page))), angle)), page["body"])
            done[angle] += 1
        if done.total() == asked.count:
            break
    sender.finish()
    print(f"{sender.sent} pages passed on: {done[0]} as they came, " + ", ".join(f"{done[angle]} turned back by {angle}°" for angle in TURNS if angle))


def broken(asked):
    for message in read(asked, [REJECTED]):
        print(f"key {message.key().decode()!r}, {len(message.value())} bytes")
        for name, value in message.headers():
            print(f"    {name}: {value.decode()}")


def is_upright(message):
    """Whether of four ways to turn a page, leaving it as it is comes nearest to the page that was drawn."""
    image, truth = Image.open(io.BytesIO(page_of(message))), drawn(mails.mail(message["id"], SEED))

    def difference(degrees):
        other = turned(image, degrees)
        return ImageStat.Stat(ImageChops.difference(other, truth)).sum[0] if other.size == truth.size else float("inf")

    return min(TURNS, key=difference) == 0


def count(asked):
    departments = [f"mail.{name}" for name in mails.DEPARTMENTS]
    deadline = time.monotonic() + WAIT_S
    while True:
        upright, routed, rejected = [], [], []
        for message in read(asked, [UPRIGHT, REJECTED, *departments]):
            value = json.loads(message.value())
            if message.topic() == UPRIGHT:
                upright.append(value)
            elif message.topic() == REJECTED:
                rejected.append(value["id"])
            elif value["job"] == "letters":
                routed.append((value["key"]["id"], message.topic()))
        seen = Counter([identity for identity, _ in routed] + rejected)
        if len(seen) == asked.count + 1 or time.monotonic() > deadline:
            break
        time.sleep(0.3)
    wrong_way = sum(scanned(identity)[1] != 0 for identity in range(FIRST, FIRST + asked.count))
    print(f"the wrong way round in the scanner      {wrong_way:3} of {asked.count}")
    print(f"the right way up when passed on         {sum(map(is_upright, upright)):3} of {len(upright)}")
    topics = Counter(topic for _, topic in routed)
    for topic in departments:
        print(f"{topic:39} {topics[topic]:3}")
    right = sum(topic == f"mail.{mails.truth_of(identity, SEED)}" for identity, topic in routed)
    print(f"in the topic of the right department    {right:3} of {len(routed)}")
    print(f"{REJECTED:39} {len(rejected):3}")
    sent = range(FIRST, FIRST + asked.count + 1)
    lost, twice = len(set(sent) - set(seen)), sum(times > 1 for times in seen.values())
    print(f"{len(sent)} pages sent: {len(routed)} routed, {len(rejected)} rejected, {lost} lost, {twice} more than once")
    sys.exit(1 if lost or twice else 0)


def text(asked):
    print(mails.mail(asked.id, SEED)["body"])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bootstrap")
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("send", "turn", "count"):
        commands.add_parser(name).add_argument("count", type=int)
    commands.add_parser("broken")
    commands.add_parser("text").add_argument("id", type=int)
    asked = parser.parse_args()
    globals()[asked.command](asked)


if __name__ == "__main__":
    main()
