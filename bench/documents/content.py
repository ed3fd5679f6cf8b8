"""What is scored, made from a seed: pages of text as JPEG, and mails."""

import importlib.util
import io
import random

from PIL import Image, ImageDraw, ImageFont

from measure import ROOT

WORDS = (
    "the payment of your invoice is due on the first day of next month please transfer the amount to our account and name "
    "your number we thank you for your order and hope that the goods arrived whole with kind regards"
).split()
ANGLES = (0, 90, 180, 270)


def pages(count, seed):
    """An id and a JPEG of 800 x 1100 pixels, some 160 KiB, each; every page comes in four rotations."""
    chance, text, title = random.Random(seed), ImageFont.load_default(22), ImageFont.load_default(40)
    for first in range(0, count, len(ANGLES)):
        image = Image.new("RGB", (800, 1100), "white")
        draw = ImageDraw.Draw(image)
        draw.text((60, 50), f"Invoice {chance.randrange(9999)}", font=title, fill="black")
        for line in range(30):
            words = " ".join(chance.choices(WORDS, k=chance.randrange(5, 11)))
            draw.text((60, 130 + line * 30), words, font=text, fill="black")
        for at, angle in enumerate(ANGLES[: count - first]):
            file = io.BytesIO()
            image.rotate(-angle, expand=True).save(file, "JPEG", quality=85)
            yield first + at, file.getvalue()


def bodies(count, seed):
    """An id and the text of a mail each, as the model's training made them."""
    place = importlib.util.spec_from_file_location("mails", ROOT / "models" / "mails.py")
    mails = importlib.util.module_from_spec(place)
    place.loader.exec_module(mails)
    for identity in range(count):
        yield identity, mails.mail(identity, seed)["body"]
