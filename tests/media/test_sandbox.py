"""What code gets that a file brings into the decoding process: nothing. And every format still decodes there.

The code is a decoder of this test's own, which a child of the same kind runs as it runs the real ones.
"""

from __future__ import annotations

import io
import itertools
import logging
import math
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from hybrid.errors import MediaError
from hybrid.media import decoding, frames, open_image, samples, video_frames
from tests.media.test_recordings import pitch, video

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="seccomp is Linux's")

RED = (200, 20, 30)

#: A decoder for which a file is the name of what it tries; what comes of that is what it has decoded.
ESCAPING = '''
import ctypes, errno, mmap, os, signal, socket, subprocess, sys, threading

class Refused(Exception):
    pass

def prepare():
    global libc, page, parent
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    page = mmap.mmap(-1, 4096)
    parent = os.getppid()

def call(name, *arguments):
    """Of the library of C."""
    found = getattr(libc, name)(*arguments)
    if found is None or found == -1 or found == ctypes.c_void_p(-1).value:
        raise OSError(ctypes.get_errno(), name)

def write():
    with open("/tmp/written-by-a-decoder", "w") as file:
        file.write("x")

def connect():
    # That is a pipe, but the system refuses before it looks.
    call("connect", 0, bytes(16), 16)

def executable():
    call("mmap", None, 4096, mmap.PROT_READ | mmap.PROT_WRITE | 4, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, -1, 0)

def made_executable():
    address = ctypes.c_void_p(ctypes.addressof(ctypes.c_char.from_buffer(page)))
    call("mprotect", address, 4096, mmap.PROT_READ | 4)

def thread():
    found = []
    one = threading.Thread(target=lambda: found.append(1))
    one.start()
    one.join()
    if not found:
        raise OSError(0, "no thread")

def memory_of_parent():
    call("process_vm_readv", parent, None, 0, None, 0, 0)

TRIES = {
    "nothing": lambda: None,
    "thread": thread,
    # What is refused
    "read a file": lambda: open("/etc/passwd").read(),
    "write a file": write,
    "list a folder": lambda: os.listdir("/"),
    "look at a file": lambda: os.stat("/etc/passwd"),
    "remove a file": lambda: os.unlink("/tmp/no-such-file"),
    "rename a file": lambda: os.rename("/tmp/no-such-file", "/tmp/nor-such"),
    "change a file": lambda: os.chmod("/tmp/no-such-file", 0o777),
    "make a folder": lambda: os.mkdir("/tmp/made-by-a-decoder"),
    "copy of an open file": lambda: os.dup(0),
    "read another module": lambda: __import__("wave"),
    "load a library": lambda: ctypes.CDLL("libm.so.6") and ctypes.CDLL("libresolv.so.2"),
    "connect": connect,
    "pipe": os.pipe,
    "start a shell": lambda: subprocess.run(["true"]),
    "look for the parent": lambda: os.kill(parent, 0),
    "signal the parent": lambda: os.kill(parent, signal.SIGURG),
    "raise a limit": lambda: call("setrlimit", 0, bytes(16)),
    "memory for code": executable,
    "code of memory": made_executable,
    "file in memory": lambda: call("memfd_create", b"x", 0),
    "namespaces": lambda: call("unshare", 0x10000000),
    "another root": lambda: os.chroot("/"),
    "another user": lambda: os.setuid(65534),
    "io_uring": lambda: call("syscall", 425, 1, None),
    "a process by number": lambda: call("syscall", 434, parent, 0),
    "a file of the parent": lambda: call("syscall", 438, 0, 0, 0),
    "watch a thread": lambda: call("prctl", 4, 1, 0, 0, 0),
    # What is fatal
    "fork": os.fork,
    "spawn": lambda: os.posix_spawn("/bin/true", ["true"], {}),
    "exec": lambda: os.execv("/bin/true", ["true"]),
    "socket": socket.socket,
    "socket of this machine": lambda: socket.socket(socket.AF_UNIX),
    "trace the parent": lambda: call("ptrace", 16, parent, None, None),
    "memory of the parent": memory_of_parent,
}

def decode(data, do, most):
    try:
        TRIES[data.decode()]()
    except ModuleNotFoundError:
        answer = b"EPERM"
    except OSError as error:
        # That of a library that cannot be read has its reason in words alone.
        denied = "Operation not permitted" in str(error)
        answer = b"EPERM" if denied else errno.errorcode.get(error.errno, str(error)).encode()
    else:
        answer = b"done"
    return [], [answer], []
'''
HARMLESS = ("nothing", "thread")
FATAL = (
    "fork", "spawn", "exec", "socket", "socket of this machine", "trace the parent", "memory of the parent",
)  # fmt: skip


def tries() -> dict[str, Any]:
    """All of them, as this process could try them."""
    module: dict[str, Any] = {}
    exec(ESCAPING, module)
    module["prepare"]()
    return module


REFUSED = tuple(name for name in tries()["TRIES"] if name not in HARMLESS + FATAL)


@pytest.fixture
def escaping(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of that decoder, where children find it."""
    (tmp_path / "escaping.py").write_text(ESCAPING)
    monkeypatch.syspath_prepend(tmp_path)
    return "escaping"


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    decoding.close()
    yield
    decoding.close()


def test_the_system_keeps_what_a_file_brings_along_from_everything_but_decoding(escaping: str) -> None:
    child = decoding.Child(escaping)
    assert child.unsealed == ""

    def tried(name: str) -> str:
        answer, content = child.ask({"do": "image", "most": 1}, name.encode())
        return content.decode() if "reason" not in answer else str(answer)

    assert {name: tried(name) for name in HARMLESS} == dict.fromkeys(HARMLESS, "done")
    assert {name: tried(name) for name in REFUSED} == dict.fromkeys(REFUSED, "EPERM")
    assert tried("nothing") == "done"  # it goes on, as a decoder does that looks for the number of processors
    child.end()


def test_an_attack_ends_its_decoder_and_its_file_has_the_reason(escaping: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(decoding._pools, "pictures", decoding._Pool(escaping))
    for name in FATAL:
        with pytest.raises(MediaError, match="no decoder needs") as caught:
            open_image(name.encode())
        assert caught.value.reason == "image_decoder_died"
    decoding.close()
    monkeypatch.undo()
    assert open_image(saved("PNG")).getpixel((3, 3)) == RED


def test_what_is_refused_there_is_possible_here() -> None:
    """Or the tests above would show nothing."""
    here = tries()
    for name in ("read a file", "list a folder", "look at a file", "copy of an open file", "load a library", "pipe",
                 "start a shell", "memory for code", "file in memory", "watch a thread", "socket"):  # fmt: skip
        assert here["decode"](name.encode(), "image", 1)[1] == [b"done"], name


@pytest.mark.parametrize("decoder", ["pictures", "recordings"])
def test_both_kinds_of_children_are_sealed(decoder: str) -> None:
    child = decoding.Child(decoder)
    for task in Path(f"/proc/{child.process.pid}/task").iterdir():
        status = dict(line.split(":\t", 1) for line in (task / "status").read_text().splitlines() if ":\t" in line)
        assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
    maps = Path(f"/proc/{child.process.pid}/maps").read_text()
    assert [line for line in maps.splitlines() if "wx" in line.split()[1]] == []
    assert child.end() == 0


def test_without_libseccomp_pictures_decode_and_the_log_says_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, escaping: str
) -> None:
    assert decoding.unsealed() == ""
    decoding.close()
    without_libseccomp(tmp_path, monkeypatch)
    decoding._tell.cache_clear()
    with caplog.at_level(logging.WARNING):
        assert open_image(saved("PNG")).getpixel((3, 3)) == RED
        child = decoding.Child(escaping)
        assert decoding.unsealed() == child.unsealed == "libseccomp is not installed"
    assert [record.getMessage() for record in caplog.records] == [
        "decoders of pictures, videos and sounds have limits, but are not sealed: libseccomp is not installed"
    ]
    status = Path(f"/proc/{child.process.pid}/status").read_text()
    assert "NoNewPrivs:\t1" in status and "Seccomp:\t0" in status
    # What is left are the limits: of files, for one.
    assert child.ask({"do": "image", "most": 1}, b"list a folder")[1] == b"EMFILE"
    assert child.ask({"do": "image", "most": 1}, b"look for the parent")[1] == b"done"
    child.end()


def without_libseccomp(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Children find a file of its name that is none."""
    (folder / "libseccomp.so.2").write_bytes(b"")
    monkeypatch.setenv("LD_LIBRARY_PATH", str(folder))


# -- every format ----------------------------------------------------------------------------------------------------


def saved(kind: str, image: Image.Image | None = None, **options: object) -> bytes:
    import pillow_heif

    pillow_heif.register_heif_opener()
    out = io.BytesIO()
    (image or Image.new("RGB", (64, 48), RED)).save(out, kind, **options)
    return out.getvalue()


def test_every_kind_of_picture_decodes() -> None:
    kinds: list[tuple[str, dict[str, object]]] = [
        *((kind, {}) for kind in ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "HEIF", "AVIF", "MPO")),
        ("JPEG", {"progressive": True}), ("WEBP", {"lossless": True}), ("PNG", {"icc_profile": srgb()}),
        *(("TIFF", {"compression": how}) for how in ("tiff_lzw", "tiff_deflate", "packbits", "jpeg", "zstd", "lzma")),
    ]  # fmt: skip
    for kind, options in kinds:
        image = open_image(saved(kind, **options))
        assert image.size == (64, 48) and np.abs(np.asarray(image, int)[24, 32] - RED).max() < 10, (kind, options)
    dots = [Image.new("RGB", (64, 48), (n * 20, 0, 90)) for n in range(12)]
    for kind in ("GIF", "WEBP", "PNG", "AVIF"):
        assert len(frames(saved(kind, dots[0], save_all=True, append_images=dots[1:]), 4)[0]) == 4, kind


def srgb() -> bytes:
    from PIL import ImageCms

    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def test_a_heic_of_tiles_decodes() -> None:
    """As iPhones write them; libheif starts threads for the tiles."""
    image = open_image(tiled_heic(4, 3))
    assert image.size == (256, 192)
    assert np.abs(np.asarray(image, int) - RED).max() < 10


def test_a_heic_of_a_phone_decodes_whole() -> None:
    """48 tiles of 512 pixels, 12 million in all: threads that each count a stack of 8 MiB would be over the limit."""
    image = open_image(tiled_heic(8, 6, 512))
    assert image.size == (683, 512)
    assert np.abs(np.asarray(image, int) - RED).max() < 10


def tiled_heic(columns: int, rows: int, side: int = 64) -> bytes:
    """A picture of that many tiles, all the same."""
    one = saved("HEIF", Image.new("RGB", (side, side), RED))
    config, tile = box_of(one, b"hvcC"), box_of(one, b"mdat")[8:]
    count, size = columns * rows, (columns * side, rows * side)
    plan = struct.pack(">BBBBHH", 0, 0, rows - 1, columns - 1, *size)

    def meta(start: int) -> bytes:
        places = [(1, start, len(plan)), *((n + 2, start + len(plan), len(tile)) for n in range(count))]
        lines = b"".join(struct.pack(">HHHII", number, 0, 1, at, length) for number, at, length in places)
        entries = (
            box(b"infe", struct.pack(">IHH4sB", 2 << 24, n + 1, 0, b"hvc1" if n else b"grid", 0))
            for n in range(count + 1)
        )
        numbers = struct.pack(f">HH{count}H", 1, count, *range(2, count + 2))
        sizes = (box(b"ispe", struct.pack(">III", 0, *pair)) for pair in ((side, side), size))
        uses = b"".join(struct.pack(">HBBB", n + 2, 2, 0x81, 2) for n in range(count))
        return box(
            b"meta", bytes(4),
            box(b"hdlr", bytes(8), b"pict", bytes(13)), box(b"pitm", struct.pack(">IH", 0, 1)),
            box(b"iloc", struct.pack(">IBBH", 0, 0x44, 0, count + 1), lines),
            box(b"iinf", struct.pack(">IH", 0, count + 1), *entries), box(b"iref", bytes(4), box(b"dimg", numbers)),
            box(b"iprp", box(b"ipco", config, *sizes),
                box(b"ipma", struct.pack(">IIHBB", 0, count + 1, 1, 1, 3), uses)),
        )  # fmt: skip

    head = box(b"ftyp", b"heic", bytes(4), b"mif1heic")
    return head + meta(len(head) + len(meta(0)) + 8) + box(b"mdat", plan, tile)


def box(kind: bytes, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return struct.pack(">I4s", 8 + len(body), kind) + body


def box_of(data: bytes, kind: bytes) -> bytes:
    at = data.index(kind) - 4
    return data[at : at + struct.unpack(">I", data[at : at + 4])[0]]


def test_every_kind_of_video_decodes() -> None:
    made = 0
    for kind, codec in (("mp4", "libx264"), ("mp4", "libx265"), ("mp4", "libsvtav1"), ("mp4", "mpeg4"),
                        ("matroska", "libx264"), ("webm", "libvpx"), ("webm", "libvpx-vp9"), ("avi", "mpeg4"),
                        ("mpegts", "mpeg2video"), ("flv", "flv"), ("asf", "wmv2")):  # fmt: skip
        if codec not in av.codecs_available:
            continue  # to make one of, that is
        made += 1
        assert len(video_frames(video(kind, codec), 3)[0]) >= 2, (kind, codec)
    assert made >= 6


def test_every_kind_of_sound_decodes() -> None:
    for kind, codec in (("wav", "pcm_s16le"), ("mp3", "libmp3lame"), ("flac", "flac"), ("ogg", "libopus"),
                        ("ogg", "vorbis"), ("ipod", "aac"), ("adts", "aac"), ("aiff", "pcm_s16be")):  # fmt: skip
        sound = samples(tone(kind, codec))
        assert abs(pitch(sound) - 440) < 3 and abs(len(sound) / 16_000 - 2) < 0.2, (kind, codec)


def tone(kind: str, codec: str) -> bytes:
    """Two seconds of 440 Hz."""
    out, layout = io.BytesIO(), "stereo" if codec == "vorbis" else "mono"
    with av.open(out, "w", format=kind) as file:
        stream: Any = file.add_stream(codec, rate=48_000, layout=layout, options={"strict": "experimental"})
        stream.codec_context.open(strict=False)
        wave = (np.sin(np.arange(96_000) * 2 * math.pi * 440 / 48_000) * 20_000).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(wave[None], format="s16", layout="mono")
        frame.sample_rate = 48_000
        resampler = av.AudioResampler(
            format=stream.format.name, layout=layout, rate=48_000, frame_size=stream.frame_size or None
        )
        for part in itertools.chain(resampler.resample(frame), resampler.resample(None)):
            file.mux(stream.encode(part))
        file.mux(stream.encode(None))
    return out.getvalue()
