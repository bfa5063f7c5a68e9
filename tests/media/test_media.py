"""Pictures: what is decoded, what is refused and with which typed reason, and where files may lie."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageChops, features

from hybrid.errors import MediaError
from hybrid.media import open_image, pictures, resolve_media, sources

RED = (200, 20, 30)


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def reason_of(data: bytes | Path) -> str:
    with pytest.raises(MediaError) as caught:
        open_image(data)
    assert "\n" not in str(caught.value)
    return caught.value.reason


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF"])
def test_every_allowed_format_opens_as_rgb(kind: str) -> None:
    if kind == "AVIF" and not features.check("avif"):
        pytest.skip("this Pillow has no AVIF")
    image = open_image(saved(Image.new("RGB", (40, 30), RED), kind))
    assert (image.mode, image.size) == ("RGB", (40, 30))
    assert np.abs(np.asarray(image, int)[15, 20] - RED).max() < 8


def test_a_path_opens_like_its_bytes(tmp_path: Path) -> None:
    file = tmp_path / "a.png"
    file.write_bytes(saved(Image.new("RGB", (5, 4), RED), "PNG"))
    assert open_image(file).tobytes() == open_image(file.read_bytes()).tobytes()


def test_exif_rotation_is_applied() -> None:
    image = Image.new("RGB", (40, 20), (0, 0, 0))
    image.paste((255, 255, 255), (0, 0, 20, 20))
    exif = Image.Exif()
    exif[0x0112] = 6  # turned right by 90 degrees
    turned = open_image(saved(image, "PNG", exif=exif))
    assert turned.size == (20, 40)
    assert turned.getpixel((10, 5)) == (255, 255, 255) and turned.getpixel((10, 35)) == (0, 0, 0)


def test_transparency_is_laid_on_white() -> None:
    half = Image.new("RGBA", (4, 4), (0, 0, 0, 0))
    half.putpixel((1, 1), (10, 20, 30, 255))
    image = open_image(saved(half, "PNG"))
    assert image.getpixel((0, 0)) == (255, 255, 255) and image.getpixel((1, 1)) == (10, 20, 30)
    palette = Image.new("P", (4, 4), 0)
    palette.putpalette([0, 0, 0, 255, 0, 0])
    assert open_image(saved(palette, "PNG", transparency=0)).getpixel((0, 0)) == (255, 255, 255)
    grey = Image.new("LA", (4, 4), (0, 0))
    assert open_image(saved(grey, "PNG")).getpixel((0, 0)) == (255, 255, 255)


def test_cmyk_and_16_bit_and_float() -> None:
    image = open_image(saved(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG"))
    red, green, blue = image.getpixel((4, 4))
    assert red > 200 and green < 60 and blue < 60
    ramp = np.tile(np.linspace(0, 65535, 64).astype(np.uint16), (4, 1))
    shades = np.asarray(open_image(saved(Image.fromarray(ramp), "PNG")))[0, :, 0]
    assert shades[0] == 0 and shades[-1] == 255 and 120 < shades[32] < 136
    floats = Image.fromarray(np.linspace(-1, 1, 16, dtype=np.float32).reshape(4, 4))
    assert np.asarray(open_image(saved(floats, "TIFF"))).max() == 255


def test_cmyk_is_inverted_only_where_adobe_wrote_it() -> None:
    red = Image.new("CMYK", (32, 32), (0, 255, 255, 0))
    with_mark = saved(red, "JPEG", quality=95)
    plain = saved(ImageChops.invert(red), "JPEG", quality=95)
    at = plain.index(b"\xff\xee\0\x0eAdobe")
    for data in (with_mark, plain[:at] + plain[at + 16 :]):
        assert np.abs(np.asarray(open_image(data), int)[16, 16] - (255, 0, 0)).max() < 25


def test_grey_of_16_bits_in_either_order_and_palettes() -> None:
    ramp = np.tile(np.linspace(0, 65535, 64).astype(np.uint16), (4, 1))
    big_endian = Image.frombytes("I;16B", (64, 4), ramp.astype(">u2").tobytes())
    shades = np.asarray(open_image(saved(big_endian, "TIFF")))[0, :, 0].astype(int)
    assert shades[0] == 0 and shades[-1] == 255 and 120 < shades[32] < 136 and (np.diff(shades) >= 0).all()
    palette = Image.new("RGB", (16, 16), RED).quantize(8)
    assert open_image(saved(palette, "PNG")).getpixel((3, 3)) == RED


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "P", "LA"])
def test_a_big_picture_is_made_smaller_evenly(mode: str) -> None:
    """In strips, whose edges must not show."""
    across = np.tile(np.linspace(0, 255, 2600).astype(np.uint8)[:, None], (1, 2400))
    grey = Image.fromarray(across)
    image = open_image(saved(grey.convert("RGB").convert(mode) if mode != "P" else grey.convert("P"), "PNG"))
    assert image.size == (600, 650)
    rows = np.asarray(image, int)[:, 300, 0]
    assert (np.abs(rows - np.linspace(0, 255, 650)) < 3).all()


def test_heic_opens() -> None:
    import pillow_heif

    pillow_heif.register_heif_opener()
    image = open_image(saved(Image.new("RGB", (64, 48), RED), "HEIF"))
    assert image.size == (64, 48) and np.abs(np.asarray(image, int)[24, 32] - RED).max() < 8


def test_the_first_frame_of_an_animation() -> None:
    frames = [Image.new("RGB", (6, 6), RED), Image.new("RGB", (6, 6), (0, 0, 255))]
    image = open_image(saved(frames[0], "GIF", save_all=True, append_images=frames[1:]))
    assert image.getpixel((3, 3))[0] > 150


def test_a_big_jpeg_comes_back_reduced_but_not_below_the_limit() -> None:
    image = open_image(saved(Image.new("RGB", (4000, 3000), RED), "JPEG"))
    assert min(image.size) >= pictures.DRAFT_SIDE and max(image.size) < 2000
    assert open_image(saved(Image.new("RGB", (600, 500)), "JPEG")).size == (600, 500)


def png_of(width: int, height: int) -> bytes:
    """A PNG that says it is this big and is not."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")


@pytest.mark.parametrize("size", [(8000, 7000), (10_000, 10_000), (60_000, 60_000)])
def test_too_many_pixels_are_refused_before_decoding(size: tuple[int, int]) -> None:
    assert reason_of(png_of(*size)) == "image_too_large"


def test_too_many_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "MAX_BYTES", 1000)
    assert reason_of(b"x" * 1001) == "image_too_large"
    file = tmp_path / "big.jpg"
    file.write_bytes(b"x" * 1001)
    assert reason_of(file) == "image_too_large"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "image_unreadable"),
        (b"<html>not found</html>", "image_unsupported"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n", "image_unsupported"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "image_unsupported"),
        (png_of(100, 100), "image_unreadable"),
    ],
)
def test_bad_bytes_have_typed_reasons(data: bytes, reason: str) -> None:
    assert reason_of(data) == reason


def test_a_format_outside_the_list_is_unsupported() -> None:
    assert reason_of(saved(Image.new("RGB", (8, 8)), "PPM")) == "image_unsupported"


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_cut_files_are_unreadable(kind: str) -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))
    data = saved(noise, kind)
    assert reason_of(data[: len(data) // 2]) in ("image_unreadable", "image_unsupported")


def test_a_missing_file_and_a_folder(tmp_path: Path) -> None:
    assert reason_of(tmp_path / "none.jpg") == "image_missing"
    assert reason_of(tmp_path) == "image_unreadable"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "media"
    (folder / "a").mkdir(parents=True)
    (folder / "a" / "shoe.jpg").write_bytes(b"1")
    (tmp_path / "secret.jpg").write_bytes(b"2")
    return folder


def test_resolving_finds_files_under_the_root(root: Path) -> None:
    expected = (root / "a" / "shoe.jpg").resolve()
    assert resolve_media("a/shoe.jpg", root) == expected
    assert resolve_media("  ./a/shoe.jpg ", root) == expected
    assert resolve_media(str(root / "a" / "shoe.jpg"), root) == expected
    (root / "link.jpg").symlink_to(root / "a" / "shoe.jpg")
    assert resolve_media("link.jpg", root) == expected


def refused(value: str, root: Path | None) -> str:
    with pytest.raises(MediaError) as caught:
        resolve_media(value, root)
    assert "\n" not in str(caught.value)
    return caught.value.reason


def test_resolving_stays_under_the_root(root: Path) -> None:
    (root / "out.jpg").symlink_to(root.parent / "secret.jpg")
    (root / "up").symlink_to(root.parent)
    (root.parent / "media2").mkdir()
    (root.parent / "media2" / "x.jpg").write_bytes(b"3")
    for value in (
        "../secret.jpg",
        "a/../../secret.jpg",
        "a/../a/shoe.jpg",
        "..\\secret.jpg",
        str(root.parent / "secret.jpg"),
        str(root.parent / "media2" / "x.jpg"),
        "/etc/passwd",
        "out.jpg",
        "up/secret.jpg",
    ):
        assert refused(value, root) == "image_outside_root", value
    assert refused("a/shoe.jpg", None) == "image_outside_root"


def test_resolving_says_what_is_missing_or_an_address(root: Path) -> None:
    for value in ("", "  ", "a/none.jpg", "a", "x" * 5000, "a\0b.jpg"):
        assert refused(value, root) == "image_missing", value
    (root / "loop").symlink_to(root / "loop")
    assert refused("loop", root) == "image_missing"
    for value in ("http://example.org/a.jpg", "HTTPS://example.org/a.jpg", "ftp://x/a", "data:image/png;base64,AA"):
        assert refused(value, root) == "image_url_unsupported", value
    assert refused("https://example.org/a.jpg", None) == "image_url_unsupported"
