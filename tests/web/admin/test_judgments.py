"""Judgment lists in the cluster, on the real engine."""

from __future__ import annotations

import io
import threading
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from PIL import ExifTags, Image

from hybrid.elastic.stores.judged_photos import JUDGED_PHOTOS
from hybrid.elastic.stores.judgments import JudgmentLists
from hybrid.errors import MediaError, UsageError
from hybrid.evaluation.archives import archived, read_upload
from hybrid.evaluation.formats import FORMATS
from hybrid.evaluation.judgments import Judgments
from hybrid.evaluation.photos import MAX_BYTES, judged_photo
from hybrid.services import Services
from tests.support.raw import client_of

pytestmark = pytest.mark.es

CSV = b"query,docid,rating\nred shoe,p1,3\nred shoe,p2,0\nlamp,p3,2\n"


@pytest.fixture
def lists(services: Services, name: str) -> Iterator[JudgmentLists]:
    yield services.judgment_lists
    for found in services.judgment_lists.lists(name):
        services.judgment_lists.delete(name, found["list"])


def test_a_rating_replaces_the_one_before_it_and_can_be_taken_back(lists: JudgmentLists, name: str) -> None:
    lists.rate(name, "team", " red  shoe ", "p1", 1, "ed")
    lists.rate(name, "team", "red shoe", "p1", 3, "mei")
    assert lists.ratings(name, "team", "red shoe") == {"p1": 3}
    assert lists.lists(name)[0] | {"at": ""} == {"list": "team", "queries": 1, "judgments": 1, "at": ""}
    assert lists.unrate(name, "team", "red shoe", "p1")
    assert not lists.unrate(name, "team", "red shoe", "p1")
    assert lists.lists(name) == []


def test_two_who_rate_at_once_lose_nothing(lists: JudgmentLists, name: str) -> None:
    def rate(who: str) -> None:
        for number in range(20):
            lists.rate(name, "team", "lamp", f"{who}{number}", 2, who)

    people = [threading.Thread(target=rate, args=(who,)) for who in ("a", "b", "c")]
    for person in people:
        person.start()
    for person in people:
        person.join()
    assert len(lists.ratings(name, "team", "lamp")) == 60


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"rating": 4}, "rating"), ({"rating": -1}, "rating"), ({"query": "  "}, "query"), ({"product": ""}, "product"),
        ({"name": "../up"}, "list"), ({"name": ""}, "list"),
    ],
)  # fmt: skip
def test_what_is_no_judgment_is_refused(lists: JudgmentLists, name: str, change: dict[str, object], said: str) -> None:
    given = {"name": "team", "query": "lamp", "product": "p1", "rating": 1, "by": "ed"} | change
    with pytest.raises(UsageError, match=said):
        lists.rate(name, **given)  # type: ignore[arg-type]


@pytest.mark.parametrize("format", FORMATS)
def test_a_list_goes_out_and_comes_back_in_every_format(lists: JudgmentLists, name: str, format: str) -> None:
    assert lists.take_in(name, "team", read_upload("j.csv", CSV), "ed") == 3
    whole = lists.judgments(name, "team")
    file, content = archived(whole, "team", format)
    lists.take_in(name, "back", read_upload(file, content), "ed")
    assert lists.judgments(name, "back").ratings == whole.ratings


def test_queries_are_paged_in_order(lists: JudgmentLists, name: str) -> None:
    ratings = {f"query {number:02}": {"p1": 1.0, "p2": 0.0} for number in range(5)}
    lists.take_in(name, "team", Judgments(ratings), "ed")
    first, after = lists.queries(name, "team", 3)
    assert first[0] == {"query": "query 00", "judgments": 2, "relevant": 1}
    rest, end = lists.queries(name, "team", 3, after)
    assert [row["query"] for row in first + rest] == list(ratings) and end is None


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"query,docid,rating\nlamp,p1,3\nlamp,p2,high\n", "line 3: rating 'high'"),
        (b"query,docid,rating\nlamp,p1,3\n,p2,1\n", "line 3: a judgment without"),
        (b"query,docid,rating\nlamp,\xff,3\n", "line 2: not UTF-8"),
        (b"a,b\n1,2\n", "columns query,docid,rating"),
        (b"", "columns query,docid,rating"),
        (b"1 0 p1 2\n", "queries.tsv"),
        (b"PK\x03\x04 broken", "archive"),
    ],
)
def test_a_bad_file_is_refused_in_one_line(data: bytes, said: str) -> None:
    with pytest.raises(UsageError, match=said) as caught:
        read_upload("../../bad file.csv", data)
    assert "\n" not in str(caught.value) and "/tmp" not in str(caught.value)


# -- judged photos -----------------------------------------------------------------------------------------------


@pytest.fixture
def photo(shared: Path) -> bytes:
    """What a shopper would upload, with what a camera writes into a file."""
    tags = Image.Exif()
    tags.get_ifd(ExifTags.IFD.GPSInfo)[ExifTags.GPS.GPSLatitudeRef] = "N"
    tags[ExifTags.Base.Orientation] = 6
    out = io.BytesIO()
    with Image.open(next((shared / "grocery" / "val").rglob("*.jpg"))) as image:
        image.resize((1600, 1200)).save(out, "JPEG", exif=tags, comment=b"at home")
    return out.getvalue()


def zipped(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as packed:
        for file, content in files.items():
            packed.writestr(file, content)
    return out.getvalue()


def kept(client: Any) -> int:
    """How many photos the cluster keeps."""
    client.indices.refresh(index=JUDGED_PHOTOS, ignore_unavailable=True)
    return int(client.count(index=JUDGED_PHOTOS, ignore_unavailable=True)["count"])


def test_a_judged_photo_is_small_and_nothing_but_a_picture(photo: bytes) -> None:
    small = judged_photo(photo)
    with Image.open(io.BytesIO(small.data)) as image:
        assert (image.format, image.size) == ("JPEG", (384, 512))  # upright
        assert not image.getexif() and "comment" not in image.info
    assert judged_photo(small.data) == small == judged_photo(photo)
    for more in (b"x", b"\xff\xd9"):
        assert judged_photo(small.data + more).data != small.data + more
    with_a_comment = small.data[:2] + b"\xff\xfe\x00\x06home" + small.data[2:]
    assert b"home" not in judged_photo(with_a_comment).data


def test_the_worst_picture_is_kept_within_bounds() -> None:
    noise = Image.effect_noise((3000, 2800), 200).convert("RGB")
    for image in (noise, Image.new("RGB", (9000, 2)), Image.new("RGBA", (1, 1))):
        out = io.BytesIO()
        image.save(out, "PNG")
        small = judged_photo(out.getvalue())
        assert len(small.data) < MAX_BYTES and judged_photo(small.data) == small


@pytest.mark.parametrize("data", [b"", b"no picture", b"\xff\xd8\xff\xe0\x00\x10JFIF", b"GIF89a" + b"\xff" * 40])
def test_what_is_no_picture_is_no_judged_photo(data: bytes) -> None:
    with pytest.raises(MediaError) as caught:
        judged_photo(data)
    assert "\n" not in str(caught.value)


def test_a_photo_is_rated_beside_words_and_alone(lists: JudgmentLists, name: str, photo: bytes) -> None:
    small = judged_photo(photo)
    lists.rate(name, "team", "", "p1", 3, "ed", small)
    lists.rate(name, "team", " in  red ", "p2", 2, "ed", small)
    lists.rate(name, "team", "in red", "p3", 1, "ed")
    assert lists.ratings(name, "team", "", small.key) == {"p1": 3}
    assert lists.ratings(name, "team", "in red", small.key) == {"p2": 2}
    assert lists.ratings(name, "team", "in red") == {"p3": 1}
    rows, end = lists.queries(name, "team")
    assert end is None and rows == [
        {"query": "", "photo": small.key, "judgments": 1, "relevant": 1},
        {"query": "in red", "judgments": 1, "relevant": 1},
        {"query": "in red", "photo": small.key, "judgments": 1, "relevant": 1},
    ]
    first, after = lists.queries(name, "team", 2)
    assert first + lists.queries(name, "team", 2, after)[0] == rows
    assert lists.one(name, "team")["queries"] == 3  # type: ignore[index]
    found = lists.judgments(name, "team")
    assert {(asked.q, asked.image) for asked in (found.request(one, index=name) for one in found.ratings)} == {
        ("", small.data), ("in red", small.data), ("in red", None),
    }  # fmt: skip


def test_a_photo_goes_with_the_last_judgment_that_names_it(
    services: Services, lists: JudgmentLists, name: str, photo: bytes
) -> None:
    small, before = judged_photo(photo), kept(client_of(services))
    for where, product in (("team", "p1"), ("team", "p2"), ("other", "p1")):
        lists.rate(name, where, "", product, 3, "ed", small)
    assert kept(client_of(services)) == before + 1 and lists.photos.get(small.key) == small
    assert lists.unrate(name, "team", "", "p1", small.key)
    assert not lists.unrate(name, "team", "", "p1", small.key)
    assert lists.unrate(name, "team", "", "p2", small.key)
    assert lists.photos.get(small.key) == small
    assert lists.delete(name, "other") == 1
    assert lists.photos.get(small.key) is None and kept(client_of(services)) == before


def test_who_takes_back_while_another_rates_loses_no_photo(lists: JudgmentLists, name: str, photo: bytes) -> None:
    small = judged_photo(photo)

    def rate_and_take_back() -> None:
        for _ in range(15):
            lists.rate(name, "team", "", "p1", 3, "ed", small)
            lists.unrate(name, "team", "", "p1", small.key)

    def rate(product: str) -> None:
        lists.rate(name, "team", "", product, 3, "mei", small)

    for round in range(4):
        both = [threading.Thread(target=rate_and_take_back), threading.Thread(target=rate, args=(f"q{round}",))]
        for one in both:
            one.start()
        for one in both:
            one.join()
        assert lists.photos.get(small.key) == small
        lists.unrate(name, "team", "", f"q{round}", small.key)
        assert lists.photos.get(small.key) is None


def test_a_photo_that_is_judged_meanwhile_is_not_forgotten(lists: JudgmentLists, name: str, photo: bytes) -> None:
    small = judged_photo(photo)
    lists.rate(name, "team", "", "p1", 3, "ed", small)

    def nobody(keys: Sequence[str]) -> set[str]:
        lists.photos.keep([small])  # by one whose judgment was written right after the search for it
        return set()

    lists.photos.forget([small.key], nobody)
    assert lists.photos.get(small.key) == small


def test_there_are_not_too_many_photos(
    services: Services, lists: JudgmentLists, name: str, photo: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hybrid.elastic.stores.judged_photos.MAX_PHOTOS", kept(client_of(services)))
    with pytest.raises(UsageError, match="above the limit"):
        lists.rate(name, "team", "", "p1", 3, "ed", judged_photo(photo))
    assert lists.lists(name) == []


def test_a_zip_with_photos_comes_in_and_goes_out(
    services: Services, lists: JudgmentLists, name: str, photo: bytes
) -> None:
    rows = b"query,image,docid,rating\nlamp,,p1,3\n,in shop/a.jpg,p2,3\nin red,in shop/a.jpg,p3,2\n"
    files = {"j.csv": rows, "in shop/a.jpg": photo, "__MACOSX/._j.csv": b"\0", "unused.jpg": b""}
    before = kept(client_of(services))
    assert lists.take_in(name, "team", read_upload("j.zip", zipped(files)), "ed") == 3
    small = judged_photo(photo)
    assert kept(client_of(services)) == before + 1
    assert lists.ratings(name, "team", "in red", small.key) == {"p3": 2}
    whole = lists.judgments(name, "team")
    file, content = archived(whole, "team", "quepid")
    assert file == "team-quepid.zip"
    assert sorted(zipfile.ZipFile(io.BytesIO(content)).namelist()) == sorted(["team.csv", f"{small.key}.jpg"])
    lists.delete(name, "team")
    lists.take_in(name, "back", read_upload(file, content), "ed")
    assert lists.judgments(name, "back") == whole
    for format in FORMATS[1:]:
        with pytest.raises(UsageError, match=f"judged photos cannot be written as {format}"):
            archived(whole, "team", format)


HEAD = b"query,image,docid,rating\nlamp,,p0,3\n"
BOMB = io.BytesIO()
Image.new("1", (8_000, 8_000)).save(BOMB, "PNG")


@pytest.mark.parametrize(
    ("file", "data", "said"),
    [
        ("j.csv", HEAD + b",a.jpg,p1,3\n", "judged photo 'a.jpg' is not there"),
        ("j.zip", {"j.csv": HEAD + b",a.jpg,p1,3\n"}, "judged photo 'a.jpg' is not there"),
        ("j.zip", {"j.csv": HEAD + b",../../etc/passwd,p1,3\n"}, "is not there"),
        ("j.zip", {"j.csv": HEAD + b",/etc/passwd,p1,3\n"}, "is not there"),
        ("j.zip", {"j.csv": HEAD + b",a.jpg,p1,3\n", "a.jpg": b"<svg/>"}, "'a.jpg': the picture is not a JPEG"),
        ("j.zip", {"j.csv": HEAD + b",a.png,p1,3\n", "a.png": BOMB.getvalue()}, "'a.png': the picture"),
        ("j.zip", {"j.csv": HEAD + b",a.jpg,p1,3\n", "a.jpg": b""}, "'a.jpg': the picture is empty"),
        ("j.csv", b"query,docid,rating\n" + b"a" * 32 + b".jpg,p1,3\n", "judge by the photo itself"),
    ],
)  # fmt: skip
def test_hostile_photos_are_refused_whole(
    services: Services,
    lists: JudgmentLists,
    name: str,
    photo: bytes,
    file: str,
    data: bytes | dict[str, bytes],
    said: str,
) -> None:
    before = kept(client_of(services))
    with pytest.raises(UsageError, match=said) as caught:
        lists.take_in(name, "team", read_upload(file, data if isinstance(data, bytes) else zipped(data)), "ed")
    assert "\n" not in str(caught.value) and "/tmp" not in str(caught.value)
    assert lists.lists(name) == [] and kept(client_of(services)) == before


def test_a_photo_that_is_gone_is_said(lists: JudgmentLists, name: str, photo: bytes) -> None:
    small = judged_photo(photo)
    lists.rate(name, "team", "", "p1", 3, "ed", small)
    lists.photos.forget([small.key], lambda _: ())
    whole = lists.judgments(name, "team")
    with pytest.raises(UsageError, match="is not stored"):
        whole.request(next(iter(whole.ratings)), index=name)


def test_evaluation_takes_a_list_by_its_name(services: Services, lists: JudgmentLists, name: str) -> None:
    lists.rate(name, "team", "lamp", "p1", 2, "ed")
    client_of(services).index(index=name, id="p1", document={}, refresh=True)
    assert services.judged(name, "list:team").ratings == {"lamp": {"p1": 2}}
    with pytest.raises(UsageError, match="no judgment list 'none'"):
        services.judged(name, "list:none")
