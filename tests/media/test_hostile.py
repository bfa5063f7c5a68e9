"""Two hundred hostile files: none ends this process or costs more than a second or 128 MiB, and each has its reason.

Made here, always the same: bombs, cut and damaged files, files of two formats, endless animations, what is no picture.
"""

from __future__ import annotations

import io
import os
import random
import signal
import struct
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image, ImageDraw

from hybrid.errors import MediaError
from hybrid.media import decoding, frames, open_image

MEMORY, SECONDS = 128 * 1024 * 1024, 1.0
LARGE, SLOW, BROKEN, OTHER = "image_too_large", "image_too_slow", "image_unreadable", "image_unsupported"
#: Where the damage decides which of these it is; a picture of which enough is left may also be taken.
ANY = {LARGE, SLOW, BROKEN, OTHER}
TAKEN = "taken"
#: What a decoder says that would read a file of its own, or would do what it may not.
LOADING = ("open files", "not permitted", "No module", "no decoder needs")

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="limits and /proc are those of Linux")


def photo(width: int = 96, height: int = 64, mode: str = "RGB") -> Image.Image:
    noise = np.random.default_rng(7).integers(0, 256, (height // 4 + 1, width // 4 + 1, 3), dtype=np.uint8)
    return Image.fromarray(noise).resize((width, height)).convert(mode)


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(width: int, height: int, depth: int = 8, colour: int = 2, data: bytes = b"", *more: bytes) -> bytes:
    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    parts = (chunk(b"IHDR", head), *more, chunk(b"IDAT", data or zlib.compress(b"\0")), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def zeros(count: int) -> bytes:
    """That many zero bytes, packed: a thousandth of it."""
    packer, out = zlib.compressobj(9), []
    for _ in range(count // 1_000_000):
        out.append(packer.compress(bytes(1_000_000)))
    return b"".join([*out, packer.compress(bytes(count % 1_000_000)), packer.flush()])


def gif(width: int, height: int, images: int = 1, size: tuple[int, int] = (1, 1), end: bool = True) -> bytes:
    head = b"GIF89a" + struct.pack("<HHBBB", width, height, 0x80, 0, 0) + bytes(6)
    loop = b"\x21\xff\x0bNETSCAPE2.0\x03\x01\0\0\0"
    frame = b"\x21\xf9\x04\0\0\0\0\0" + b"\x2c" + struct.pack("<HHHHB", 0, 0, *size, 0) + b"\x02\x02\x44\x01\0"
    return head + loop + frame * images + (b";" if end else b"")


def bmp(width: int, height: int, depth: int = 24, compression: int = 0, body: bytes = b"\0" * 64) -> bytes:
    info = struct.pack("<IiiHHIIiiII", 40, width, height, 1, depth, compression, len(body), 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", 54 + len(body), 0, 0, 54) + info + body


def tiff(tags: list[tuple[int, int, int, int]], after: bytes = b"", following: int = 0) -> bytes:
    """tags: (number, type, count, value)."""
    entries = b"".join(struct.pack("<HHII", *tag) for tag in tags)
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + struct.pack("<I", following) + after


def tiff_of(width: int, height: int, compression: int = 1, count: int = 16, **changed: int) -> bytes:
    values = {256: width, 257: height, 258: 8, 259: compression, 262: 1, 273: 200, 277: 1, 278: height, 279: count}
    values |= {int(name[1:]): value for name, value in changed.items()}
    return tiff([(number, 4, 1, value) for number, value in values.items()], bytes(400))


def webp_vp8x(width: int, height: int, body: bytes = b"") -> bytes:
    size = struct.pack("<I", width - 1)[:3] + struct.pack("<I", height - 1)[:3]
    content = b"WEBPVP8X" + struct.pack("<I", 10) + b"\x02\0\0\0" + size + body
    return b"RIFF" + struct.pack("<I", len(content)) + content


def resized_jpeg(data: bytes, width: int, height: int) -> bytes:
    """A JPEG whose head says another size."""
    at = next(i for i in range(2, len(data)) if data[i] == 0xFF and data[i + 1] in (0xC0, 0xC2))
    return data[: at + 5] + struct.pack(">HH", height, width) + data[at + 9 :]


def ispe(data: bytes, width: int, height: int) -> bytes:
    """An AVIF or HEIC whose head says another size."""
    at = data.index(b"ispe")
    return data[: at + 8] + struct.pack(">II", width, height) + data[at + 16 :]


@lru_cache(maxsize=1)
def hostile() -> list[tuple[str, bytes, set[str]]]:
    """(what it is, the file, the reasons that it may have)."""
    return list(_hostile())


def _hostile() -> Iterator[tuple[str, bytes, set[str]]]:
    import pillow_heif

    pillow_heif.register_heif_opener()
    image = photo()
    good = {kind: saved(image, kind) for kind in ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "HEIF")}
    progressive = saved(image, "JPEG", progressive=True, subsampling=0)

    # Bombs: much more than the file says, or says in few bytes.
    for width, height in ((8000, 7000), (30_000, 30_000), (2**31 - 1, 1), (65_500, 65_500), (1, 2**31 - 1)):
        yield f"png of {width} x {height}, empty", png(width, height), {LARGE, BROKEN}
    yield "png of 5000 x 5000, all zero", png(5000, 5000, data=zeros(5000 * (5000 * 3 + 1))), {LARGE}
    yield "png of 4400 x 4400 rgba", png(4400, 4400, colour=6, data=zeros(4400 * (4400 * 4 + 1))), {TAKEN, LARGE, SLOW}
    yield "png of 5000 x 5000, 16 bits", png(5000, 5000, 16, 6, zeros(5000 * (5000 * 8 + 1))), {LARGE}
    yield "png of 7000 x 7000, grey", png(7000, 7000, colour=0, data=zeros(7000 * 7001)), {TAKEN, SLOW}
    yield "png of 40000 x 100", png(40_000, 100, data=zeros(100 * (40_000 * 3 + 1))), {TAKEN}
    yield "png of 200 x 1, data for a gigabyte", png(200, 1, data=zeros(300_000_000)), {TAKEN, BROKEN, SLOW}
    for kind in (b"zTXt", b"iTXt", b"iCCP"):
        body = b"Comment\0" + (b"\1\0\0\0" if kind == b"iTXt" else b"\0") + zeros(300_000_000)
        yield (
            f"png with a bomb in {kind.decode()}",
            png(8, 8, 8, 2, zlib.compress(bytes(200)), chunk(kind, body)),
            ANY | {TAKEN},
        )
    many = [chunk(b"tEXt", b"k\0" + bytes(60_000))] * 200
    yield "png with 12 MB of text", png(8, 8, 8, 2, zlib.compress(bytes(200)), *many), ANY | {TAKEN}
    yield "png with 300,000 empty chunks", png(8, 8, 8, 2, zlib.compress(bytes(200)), chunk(b"teXt", b"") * 300_000), {
        TAKEN, SLOW, BROKEN,
    }  # fmt: skip
    for size in ((65_500, 65_500), (20_000, 20_000), (60_000, 5), (9000, 9000)):
        yield f"jpeg that says {size}", resized_jpeg(good["JPEG"], *size), {LARGE, BROKEN, TAKEN}
        yield f"progressive that says {size}", resized_jpeg(progressive, *size), {LARGE, BROKEN, TAKEN}
    big = saved(Image.new("RGB", (4000, 4000)), "JPEG", progressive=True, subsampling=0)
    yield "progressive of 16 million", big, {LARGE}
    scans = saved(Image.new("RGB", (3000, 3000)), "JPEG", progressive=True)
    at = scans.rindex(b"\xff\xda")
    yield "progressive of thousands of scans", scans[:-2] + scans[at:-2] * 4000, {SLOW, BROKEN, TAKEN, LARGE}
    for size in ((65_535, 65_535), (20_000, 20_000), (7000, 7000)):
        yield f"gif of {size}", gif(*size), {LARGE, TAKEN, BROKEN}
        yield f"gif with a frame of {size}", gif(10, 10, 1, size), {LARGE, BROKEN, TAKEN}
    yield "gif of 500,000 frames", gif(10, 10, 500_000), {TAKEN}
    yield "gif of 3000 x 3000, 1,000 frames", gif(3000, 3000, 1000, (3000, 3000)), {TAKEN, BROKEN, LARGE, SLOW}
    yield "gif without end", gif(10, 10, 100, end=False), {TAKEN, BROKEN}
    for size in ((16_384, 16_384), (16_000, 5000), (2**24, 2**24)):
        yield f"webp that says {size}", webp_vp8x(*size), ANY
        yield f"webp that says {size}, with a picture", webp_vp8x(*size, good["WEBP"][12:]), ANY
    yield "webp of 16383 x 400", saved(Image.new("RGB", (16_383, 400)), "WEBP", lossless=True), {LARGE, TAKEN}
    yield "webp of 9 million", saved(Image.new("RGB", (3000, 3000)), "WEBP", lossless=True, method=0), {LARGE}
    for size in ((65_535, 65_535), (2**31 - 1, 2**31 - 1), (10_000, 10_000), (0, 0)):
        for kind in ("AVIF", "HEIF"):
            yield f"{kind} that says {size}", ispe(good[kind], *size), ANY
    yield "avif of 12 million", saved(Image.new("RGB", (4000, 3000)), "AVIF", speed=10), {LARGE}
    for depth in (1, 8, 24, 32):
        yield f"bmp of {depth} bits, 30,000 a side", bmp(30_000, 30_000, depth), {LARGE, BROKEN}
    yield "bmp of negative size", bmp(-5, 5), ANY
    yield "bmp of least height", bmp(5, -(2**31)), ANY
    yield "bmp, packed, endless", bmp(6000, 6000, 8, 1, b"\xff\x00" * 1000), {LARGE, BROKEN, TAKEN}
    yield "bmp of unknown packing", bmp(5, 5, 24, 9), {BROKEN, OTHER}
    for size in ((100_000, 100_000), (2**31, 2**31), (0, 0), (9000, 9000)):
        yield f"tiff of {size}", tiff_of(*size), ANY
        yield f"tiff of {size}, deflated", tiff_of(*size, compression=8), ANY
    yield "tiff of a strip of 4 GB", tiff_of(10, 10, count=2**32 - 1), ANY | {TAKEN}
    yield "tiff that points at itself", tiff([(256, 4, 1, 10), (257, 4, 1, 10)], following=8), ANY
    yield "tiff of 4 billion values", tiff([(256, 4, 2**30, 8), (257, 4, 1, 10)], bytes(100)), ANY
    yield "tiff of 60,000 tags", tiff([(65_000, 4, 1, 1)] * 60_000), ANY
    yield "tiff of 1000 samples", tiff_of(100, 100, _277=1000), ANY
    yield "tiff, deflated bomb", saved(Image.new("RGB", (5200, 5200)), "TIFF", compression="tiff_deflate"), {LARGE}
    yield "tiff, lzw, of one strip", saved(Image.new("L", (6900, 6900)), "TIFF", compression="tiff_lzw"), {TAKEN, SLOW}
    floats = Image.fromarray(np.full((8, 8), np.nan, np.float32))
    yield "tiff of what is no number", saved(floats, "TIFF"), {BROKEN, TAKEN}
    yield "tiff of infinities", saved(Image.fromarray(np.full((8, 8), np.inf, np.float32)), "TIFF"), {BROKEN}

    # Endless animations.
    dots = [Image.new("RGB", (64, 64), (n % 256, n // 4 % 256, 90)) for n in range(300)]
    yield "webp of 300 frames", saved(dots[0], "WEBP", save_all=True, append_images=dots[1:], loop=0), {TAKEN}
    yield "png of 300 frames", saved(dots[0], "PNG", save_all=True, append_images=dots[1:], loop=0), {TAKEN}
    yield "gif of 300 frames", saved(dots[0], "GIF", save_all=True, append_images=dots[1:], loop=0), {TAKEN}
    control = chunk(b"acTL", struct.pack(">II", 2**31 - 1, 0))
    yield "png that says 2 billion frames", png(8, 8, 8, 2, zlib.compress(bytes(200)), control), {TAKEN, BROKEN}

    # What is no picture, whatever it is called.
    svg = b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'><script>fetch('//x')</script></svg>"
    texts = {
        "nothing": b"", "one zero byte": b"\0", "zero bytes": bytes(100_000), "svg with a script": svg,
        "svg that reads a file": b"<?xml version='1.0'?><!DOCTYPE s [<!ENTITY x SYSTEM 'file:///etc/passwd'>]>" + svg,
        "svg of a billion laughs": b"<!DOCTYPE s [" + b"<!ENTITY a '&b;&b;'>" * 1000 + b"]>" + svg,
        "svg, packed": b"\x1f\x8b\x08\0" + zlib.compress(svg), "html": b"<!doctype html><title>404</title>",
        "postscript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(x) run\n", "pdf": b"%PDF-1.7\n%\xe2\xe3\n",
        "script": b"#!/bin/sh\nrm -rf /\n", "program": b"\x7fELF" + bytes(200), "exe": b"MZ" + bytes(200),
        "zip": b"PK\x03\x04" + bytes(100), "mvg": b"push graphic-context\nimage over 0,0 0,0 'https://x'\n",
        "ppm": b"P6\n20000 20000\n255\n", "fits": b"SIMPLE  = T" + bytes(2880), "xpm": b"/* XPM */\n",
        "ico": b"\0\0\1\0\1\0" + bytes(60), "psd": b"8BPS\0\1" + bytes(60), "tga": bytes([0, 0, 2]) + bytes(40),
        "jpeg 2000": b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(60), "dds": b"DDS " + bytes(124), "icns": b"icns" + bytes(60),
        "wmf": b"\xd7\xcd\xc6\x9a" + bytes(60), "pcx": b"\x0a\x05\x01\x08" + bytes(128), "flif": b"FLIF" + bytes(60),
        "mp4": b"\0\0\0\x20ftypisom" + bytes(60), "mp3": b"ID3\x04" + bytes(60), "gzip": zlib.compress(bytes(10_000)),
        "im": b"Image type: RGB\r\n" + bytes(600), "json": b'{"image": 1}', "data url": b"data:image/png;base64,AAAA",
        "only JPEG's mark": b"\xff\xd8\xff", "only PNG's mark": b"\x89PNG\r\n\x1a\n", "only GIF's mark": b"GIF89a",
        "only WebP's mark": b"RIFF\0\0\0\0WEBP", "only TIFF's mark": b"II*\0", "only BMP's mark": b"BM",
        "only AVIF's mark": b"\0\0\0\x1cftypavif\0\0\0\0avifmif1",
        "only HEIC's mark": b"\0\0\0\x18ftypheic\0\0\0\0mif1heic",
    }  # fmt: skip
    for name, data in texts.items():
        yield name, data, {BROKEN} if not data else {BROKEN, OTHER}
    yield "more bytes than are read", b"\xff\xd8\xff" + bytes(21 * 1024 * 1024), {LARGE}

    # Files of two formats: the picture in them is taken, and what else they are is of no effect.
    for kind in ("JPEG", "PNG", "GIF", "BMP"):
        yield f"{kind} with a page after it", good[kind] + svg + b"<script>alert(1)</script>", {TAKEN}
        yield f"{kind} with a zip after it", good[kind] + b"PK\x03\x04" + bytes(500), {TAKEN}
    yield "gif that is a script", b"GIF89a/*" + bytes(20) + b"*/=1;alert(1)", ANY
    yield (
        "jpeg with a script in its comment",
        good["JPEG"][:2] + b"\xff\xfe\0\x20" + b"<?php system($x); ?>".ljust(30) + good["JPEG"][2:],
        {TAKEN},
    )
    yield (
        "jpeg in exif that loops",
        good["JPEG"][:2]
        + b"\xff\xe1\0\x20Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0".ljust(34, b"\x08")
        + good["JPEG"][2:],
        ANY | {TAKEN},
    )

    # Cut and damaged ones. JPEG and GIF may keep enough to be a picture.
    for kind, data in good.items():
        for part in (0.02, 0.2, 0.5, 0.9):
            yield f"{kind} cut at {part}", data[: max(12, int(len(data) * part))], ANY | {TAKEN}
        for seed in range(6):
            rng, damaged = random.Random(f"{kind}{seed}"), bytearray(data)
            for _ in range(1 + len(data) // 50):
                damaged[rng.randrange(12, len(data))] = rng.randrange(256)
            yield f"{kind} damaged, {seed}", bytes(damaged), ANY | {TAKEN}


class Watch:
    """What a child takes at most, also one that dies: memory (bytes) and processor time (seconds), by its own marks."""

    def __init__(self, process: psutil.Process) -> None:
        self.memory, self.seconds = 0, 0.0
        self._process, self._before = process, sum(process.cpu_times()[:2])
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self._thread.start()

    def _look(self) -> None:
        while not self._stop.wait(0.003):
            self._read()

    def _read(self) -> None:
        try:
            lines = Path(f"/proc/{self._process.pid}/status").read_text().splitlines()
            self.seconds = max(self.seconds, sum(self._process.cpu_times()[:2]) - self._before)
        except (FileNotFoundError, ProcessLookupError, psutil.NoSuchProcess):
            return  # it has ended
        self.memory = max([self.memory, *(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))])

    def end(self) -> None:
        self._stop.set()
        self._thread.join()
        self._read()


def child() -> psutil.Process:
    """The one child that is idle, and answers next."""
    open_image(GOOD)
    return psutil.Process(decoding.idle_child("pictures").process.pid)


GOOD = saved(photo(), "PNG")


def outcome(data: bytes) -> str:
    try:
        open_image(data)
    except MediaError as error:
        # A decoder that has to load a part of itself cannot any more: that would be our fault, not the file's.
        return error.reason if not any(words in str(error) for words in LOADING) else str(error)
    return TAKEN


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    decoding.close()
    yield
    decoding.close()


def test_no_hostile_file_costs_much_and_each_has_its_reason() -> None:
    files = hostile()
    assert len(files) >= 200 and len({name for name, _, _ in files}) == len(files)
    wrong = {}
    before = psutil.Process().memory_info().rss
    for name, data, wanted in files:
        watch = Watch(child())
        started = time.monotonic()
        found = outcome(data)
        taken = time.monotonic() - started
        watch.end()
        if found not in wanted:
            wrong[name] = found
        if min(watch.seconds, taken) > SECONDS:  # the smaller: tests may share the processors with others
            wrong[name] = f"{taken:.2f} s by the clock, {watch.seconds:.2f} s of a processor"
        if watch.memory > MEMORY:
            wrong[name] = f"{watch.memory / 1024**2:.0f} MiB"
        if watch.memory > 60 * 1024**2:
            decoding.close()  # a mark is of a process, and the next file needs one of its own
    assert wrong == {}
    assert outcome(GOOD) == TAKEN
    assert psutil.Process().memory_info().rss - before < 200 * 1024 * 1024


def test_a_damaged_picture_does_not_change_the_next_one() -> None:
    expected = open_image(GOOD).tobytes()
    for _, data, _ in hostile()[::7]:
        outcome(data)
        assert open_image(GOOD).tobytes() == expected


def test_animations_are_read_within_bounds() -> None:
    dots = [Image.new("RGB", (64, 64), (n, 0, 90)) for n in range(120)]
    for kind in ("GIF", "PNG", "WEBP"):
        found, _ = frames(saved(dots[0], kind, save_all=True, append_images=dots[1:], lossless=True), 5)
        shades = [image.getpixel((5, 5))[0] for image in found]
        assert len(found) == 5 and shades == sorted(shades)
        assert shades[0] <= 1 and 30 < shades[-1] <= 51, "evenly among the first fifty"
    assert len(frames(gif(10, 10, 500_000), 8)[0]) <= 8
    assert len(frames(GOOD, 8)[0]) == 1
    with pytest.raises(MediaError, match="above the limit"):
        frames(gif(6000, 6000, 3), 2)


def test_a_child_that_is_killed_is_replaced_and_its_file_has_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "WALL_S", 60.0)
    process = child()
    process.send_signal(signal.SIGSTOP)  # it has the file, and is not done with it
    taken = decoding.idle_child("pictures")

    def kill(files: int = taken.files) -> None:
        while taken.files == files:
            time.sleep(0.01)
        process.kill()

    threading.Thread(target=kill, daemon=True).start()
    assert outcome(GOOD) == "image_decoder_died"
    assert outcome(GOOD) == TAKEN
    process = child()
    process.kill()  # between two files: the next one is not to blame
    process.wait(5)
    assert outcome(GOOD) == TAKEN


def test_a_child_that_hangs_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    process = child()
    monkeypatch.setattr(decoding, "WALL_S", 0.3)
    process.send_signal(signal.SIGSTOP)
    assert outcome(GOOD) == "image_too_slow"
    assert not process.is_running()
    monkeypatch.undo()
    assert outcome(GOOD) == TAKEN


def test_a_child_has_limits_and_no_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HYBRID_ES_PASSWORD", "hunter2")
    process = child()
    assert "hunter2" not in str(process.environ())
    limits = Path(f"/proc/{process.pid}/limits").read_text()
    assert [line.split()[-3:-1] for line in limits.splitlines() if "Max file size" in line] == [["0", "0"]]
    assert {file.fd for file in process.open_files()} == set()
    assert process.net_connections() == []


def test_several_threads_share_a_few_children() -> None:
    found: list[str] = []
    threads = [threading.Thread(target=lambda: found.extend(outcome(GOOD) for _ in range(5))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [TAKEN] * 40
    # Decoders of other tests may end just now; of a dead one psutil gives None here, and raises elsewhere.
    mine = [one for one in psutil.process_iter(["ppid", "cmdline"]) if one.info["ppid"] == os.getpid()]
    mine = [one for one in mine if "sandbox.py" in " ".join(one.info["cmdline"] or [])]
    assert 1 <= len(mine) <= decoding.CHILDREN


FORKING = """
import os, sys, time
from hybrid.media import open_image, decoding
data = open(sys.argv[1], "rb").read()
open_image(data)
first = decoding.idle_child('pictures').process.pid
pid = os.fork()
if pid == 0:
    open_image(data)  # by a child of its own
    assert decoding.idle_child('pictures').process.pid != first
    print(decoding.idle_child('pictures').process.pid, flush=True)
    os._exit(0)  # as forked workers end: nothing is cleaned up
os.waitpid(pid, 0)
open_image(data)
assert decoding.idle_child('pictures').process.pid == first
print(first, flush=True)
if sys.argv[2] == "killed":
    os.kill(os.getpid(), 9)
"""


@pytest.mark.parametrize("end", ["normal", "killed"])
def test_forked_workers_have_their_own_children_and_none_stays(tmp_path: Path, end: str) -> None:
    (tmp_path / "a.png").write_bytes(GOOD)
    command = [sys.executable, "-c", FORKING, str(tmp_path / "a.png"), end]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.stderr == "" and done.returncode == (0 if end == "normal" else -9)
    pids = [int(line) for line in done.stdout.split()]
    assert len(pids) == 2
    until = time.monotonic() + 60
    while time.monotonic() < until and any(psutil.pid_exists(pid) and not _zombie(pid) for pid in pids):
        time.sleep(0.05)
    assert not any(psutil.pid_exists(pid) and not _zombie(pid) for pid in pids)


def _zombie(pid: int) -> bool:
    """Whether only its entry is left, which the machine's own first process has to take away."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE and psutil.Process(pid).ppid() != os.getpid()
    except psutil.NoSuchProcess:
        return True


def test_a_decoder_that_cannot_start_is_an_error_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    from hybrid.errors import EncoderError

    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(EncoderError, match="ends as it starts"):
        open_image(GOOD)
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(EncoderError, match="cannot be started"):
        open_image(GOOD)


def test_a_photo_of_a_phone_is_taken() -> None:
    drawn = Image.new("RGB", (8160, 6120), (90, 120, 60))
    ImageDraw.Draw(drawn).ellipse((1000, 1000, 7000, 5000), fill=(200, 30, 30))
    image = open_image(saved(drawn, "JPEG", quality=90))
    assert image.size == (1020, 765) and image.getpixel((500, 380))[0] > 150
    # As phones write them: a second picture in the same file.
    two = saved(drawn.resize((4000, 3000)), "MPO", save_all=True, append_images=[drawn.resize((400, 300))])
    assert open_image(two).size == (1000, 750)
    twelve = drawn.resize((4032, 3024))
    assert open_image(saved(twelve, "JPEG", progressive=True, subsampling=0)).size == (1008, 756)
    import pillow_heif

    pillow_heif.register_heif_opener()
    assert open_image(saved(twelve, "HEIF", quality=50)).size == (807, 605)
