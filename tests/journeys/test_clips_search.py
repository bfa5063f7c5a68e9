"""Videos, animations, sounds and several pictures of a product, through the real index with real encoders: what is
found by a file of each kind, which frame or picture was the reason, and what is said of files that cannot be used."""

from __future__ import annotations

import base64
import io
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from flask.testing import FlaskClient
from PIL import Image

from hybrid.errors import MediaError, UsageError
from hybrid.media import open_video
from hybrid.operations import indexing
from hybrid.operations.attach import plan_attach, run_attach
from hybrid.searches import SearchAnswer, SearchRequest
from hybrid.services import Services
from hybrid.signals import MAX_VIEWS
from tests.conftest import index_file, make_services, real_services, write_rows
from tests.support import clips
from tests.support.baseline import Baseline
from tests.support.clips import SOUNDS, Clip
from tests.support.raw import client_of
from web import create_app

pytestmark = pytest.mark.es


class Clips(NamedTuple):
    """A catalogue with clips, indexed, and clips of the same kinds that are not in it."""

    services: Services
    name: str
    folder: Path
    rows: list[dict[str, Any]]
    asked: list[Clip]
    labels: dict[str, str]


@pytest.fixture(scope="session")
def shop(engine: Any, tmp_path_factory: pytest.TempPathFactory) -> Clips:
    folder = tmp_path_factory.mktemp("clips")
    videos = clips.videos(folder)
    sounds = clips.sounds(folder, each=6)
    rows: list[dict[str, Any]] = []
    asked, labels, seen = [], {}, Counter[str]()
    for clip in [*videos, *sounds]:
        seen[clip.label] += 1
        # Every third clip of a label is asked with; of the animations every second, so that both GIF and WebP are
        # asked with and indexed.
        held = clip.kind == "audio" and seen[clip.label] % 3 == 0 or clip.kind != "audio" and seen[clip.label] == 2
        if held:
            asked.append(clip)
            continue
        id = f"{clip.kind}-{clip.path.stem}"
        labels[id] = clip.label
        role = "audio" if clip.kind == "audio" else "video"
        rows.append({"id": id, "name": f"Item {len(rows)}", role: clip.path.name})
    services = real_services(engine)
    path = write_rows(folder / "clips.ndjson", rows)
    report = index_file(services, path, "tclips", folder, media_root=folder)
    assert report.complete and report.signals == ["lexical", "text", "video", "audio"], report
    return Clips(services, "tclips", folder, rows, asked, labels)


def search(services: Services, name: str, **asked: Any) -> SearchAnswer:
    answer = services.searcher.search(SearchRequest(index=name, **asked))
    assert not answer.degraded
    return answer


def accuracy(shop: Clips, kind: str, right: Callable[[str, str], bool]) -> float:
    """Part of the clips asked with whose first hit is right."""
    asked = [(clip.label, clip.path) for clip in shop.asked if (clip.kind == "audio") == (kind == "audio")]
    # Those that are in the catalogue are asked with too: then the first hit but themselves counts.
    asked += [(shop.labels[row["id"]], shop.folder / row[kind]) for row in shop.rows if kind in row]
    found = []
    for label, path in asked:
        answer = search(shop.services, shop.name, **{kind: path.read_bytes()}, size=2)
        hit = next(hit for hit in answer.hits if hit.source[kind] != path.name)
        found.append(right(label, shop.labels[hit.id]))
    assert len(found) >= 36
    return sum(found) / len(found)


def test_videos_and_animations_find_what_shows_the_same(shop: Clips, baseline: Baseline) -> None:
    shape = accuracy(shop, "video", lambda asked, hit: asked.split()[1] in hit)
    whole = accuracy(shop, "video", lambda asked, hit: asked in hit)
    # EfficientNet was trained to tell what a thing is, in whatever colour: of that it sees little.
    baseline.check("clips, videos", noise=1.5 / 36, shape=shape, shape_and_colour=whole)


def test_sounds_find_what_sounds_the_same(shop: Clips, baseline: Baseline) -> None:
    found = accuracy(shop, "audio", lambda asked, hit: asked == hit)
    baseline.check(f"clips, sounds of {len(SOUNDS)} kinds", noise=1.5 / 36, first=found)


def frame(path: Path, at: float) -> bytes:
    frames, seconds = open_video(path.read_bytes(), MAX_VIEWS)
    nearest = min(range(len(frames)), key=lambda place: abs(seconds[place] - at))
    out = io.BytesIO()
    frames[nearest].save(out, "JPEG", quality=90)
    return out.getvalue()


def test_the_nearest_frame_is_named(shop: Clips) -> None:
    """A video of two scenes is found by a photo of either, and says where it shows it."""
    cut = next(row for row in shop.rows if row.get("video") == "cut-0.mp4")
    for at, least, most in ((0.5, 0.0, 2.0), (3.5, 2.0, 4.0)):
        answer = search(shop.services, shop.name, image=frame(shop.folder / "cut-0.mp4", at), size=3)
        hit = next(hit for hit in answer.hits if hit.id == cut["id"])
        assert answer.hits[0] is hit and least <= hit.nearest["video"] < most
        assert hit.signals["video"].raw is not None and hit.signals["video"].raw > 0.95


def test_words_of_the_same_page_and_of_a_sound_alone(shop: Clips) -> None:
    sound = next(clip for clip in shop.asked if clip.kind == "audio").path.read_bytes()
    both = search(shop.services, shop.name, q="item 3", audio=sound)
    assert set(both.weights) == {"lexical", "text", "audio"}
    alone = search(shop.services, shop.name, audio=sound, system="audio")
    assert set(alone.weights) == {"audio"} and alone.hits[0].id.startswith("audio-")
    # Ranked by cosine, and a product that has no sound is nowhere.
    assert all(hit.id.startswith("audio-") for hit in alone.hits)
    scores = [hit.score for hit in alone.hits]
    assert scores == sorted(scores, reverse=True)


def test_a_file_of_another_kind_is_refused_with_a_reason(shop: Clips) -> None:
    video = next(clip for clip in shop.asked if clip.kind == "video").path.read_bytes()
    sound = next(clip for clip in shop.asked if clip.kind == "audio").path.read_bytes()
    for given, reason in (
        ({"video": sound}, "video_unsupported"), ({"audio": video}, "audio_unsupported"),
        ({"video": b"x" * 100}, "video_unsupported"), ({"audio": b""}, "audio_unreadable"),
    ):  # fmt: skip
        with pytest.raises(MediaError) as caught:
            search(shop.services, shop.name, **given)
        assert caught.value.reason == reason
    # Without words, a system that compares nothing of the file would only list the catalogue.
    for system, given in (("image", {"audio": sound}), ("video", {"audio": sound}), ("audio", {"video": video})):
        with pytest.raises(UsageError, match=f"system {system} needs"):
            search(shop.services, shop.name, system=system, **given)


def letters(services: Services, name: str) -> dict[tuple[str, str], str]:
    found = client_of(services).search(index="hybrid-dead-letters", query={"term": {"index": name}}, size=100)["hits"]
    return {(hit["_source"]["product"], hit["_source"]["signal"]): hit["_source"]["reason"] for hit in found["hits"]}


def test_broken_files_are_listed_and_their_products_found(engine: Any, name: str, shop: Clips, tmp_path: Path) -> None:
    good = next(row["video"] for row in shop.rows if "video" in row)
    (tmp_path / "good.mp4").write_bytes((shop.folder / good).read_bytes())
    (tmp_path / "half.mp4").write_bytes((shop.folder / good).read_bytes()[:300])
    (tmp_path / "page.mp3").write_text("<html>")
    rows: list[dict[str, Any]] = [
        {"id": "a", "name": "lamp of glass", "video": "good.mp4"},
        {"id": "b", "name": "lamp of brass", "video": "half.mp4"},
        {"id": "c", "name": "lamp of wood", "video": "nowhere.mp4", "audio": "page.mp3"},
        {"id": "d", "name": "lamp of stone", "video": "../secret.mp4"},
    ]
    services = make_services(engine)
    path = write_rows(tmp_path / "lamps.ndjson", rows)
    report = index_file(services, path, name, tmp_path, signals=["text", "video", "audio"], media_root=tmp_path)
    assert sum(report.failed.values()) == 4
    assert services.cluster.indices.count(name, {"exists": {"field": "hybrid.video"}}) == 1
    assert services.cluster.indices.count(name, {"exists": {"field": "hybrid.text"}}) == 4
    client_of(services).indices.refresh(index="hybrid-dead-letters")
    found = letters(services, name)
    assert found.pop(("b", "video")) in ("video_unreadable", "video_unsupported")
    assert found == {
        ("c", "video"): "video_missing", ("c", "audio"): "audio_unsupported", ("d", "video"): "video_outside_root",
    }  # fmt: skip
    assert {hit.id for hit in search(services, name, q="lamp").hits} == {"a", "b", "c", "d"}
    # Mended, they are tried again, and the list is empty.
    (tmp_path / "half.mp4").write_bytes((tmp_path / "good.mp4").read_bytes())
    index_file(services, path, name, tmp_path, signals=["text", "video", "audio"], media_root=tmp_path)
    client_of(services).indices.refresh(index="hybrid-dead-letters")
    assert ("b", "video") not in letters(services, name)


def jpeg(path: Path, colour: tuple[int, int, int]) -> str:
    Image.new("RGB", (64, 64), colour).save(path, quality=95)
    return path.name


def test_a_product_is_as_near_as_its_nearest_picture(engine: Any, name: str, tmp_path: Path) -> None:
    reds = [jpeg(tmp_path / "red.jpg", (220, 20, 20)), jpeg(tmp_path / "blue.jpg", (20, 30, 220)),
            jpeg(tmp_path / "green.jpg", (20, 200, 40))]  # fmt: skip
    rows: list[dict[str, Any]] = [
        {"id": "several", "name": "socks", "images": reds},
        {"id": "one", "name": "scarf", "images": [jpeg(tmp_path / "violet.jpg", (120, 25, 120))]},
        {"id": "none", "name": "hat"},
    ]
    services = make_services(engine)
    path = write_rows(tmp_path / "c.ndjson", rows)
    plan = indexing.plan_index(services, path, name, media_root=tmp_path)
    assert plan.profile.signals["image"].views == MAX_VIEWS
    indexing.run_index(services, plan, rejects_path=tmp_path / "r")
    for number, file in enumerate(reds):
        for asked in ({}, {"system": "image"}, {"q": "socks"}):
            answer = search(services, name, image=(tmp_path / file).read_bytes(), **asked)
            hit = next(hit for hit in answer.hits if hit.id == "several")
            raw = hit.signals["image"].raw
            assert raw is not None and raw > 0.99 and hit.nearest["image"] == number
    # One of them is broken: the others are searched all the same, and it is in the list.
    (tmp_path / "blue.jpg").write_bytes(b"no picture")
    index_file(services, path, name, tmp_path, media_root=tmp_path)
    client_of(services).indices.refresh(index="hybrid-dead-letters")
    assert letters(services, name) == {("several", "image"): "image_unsupported"}
    answer = search(services, name, image=(tmp_path / "green.jpg").read_bytes())
    assert answer.hits[0].nearest == {"image": 2}
    assert services.cluster.indices.count(name, {"exists": {"field": "hybrid.image"}}) == 2


def test_views_go_along_with_a_reindex_and_come_back_after_a_whole_put(engine: Any, name: str, tmp_path: Path) -> None:
    from hybrid.operations.reindex import planning, running

    files = [jpeg(tmp_path / "red.jpg", (220, 20, 20)), jpeg(tmp_path / "blue.jpg", (20, 30, 220))]
    services = make_services(engine)
    client = client_of(services)
    client.indices.create(index=f"{name}-1", aliases={name: {}})
    client.index(index=name, id="1", document={"title": "socks", "images": files}, refresh=True)
    run_attach(services, plan_attach(services, name, media_root=tmp_path))
    blue = (tmp_path / "blue.jpg").read_bytes()
    assert search(services, name, image=blue).hits[0].nearest == {"image": 1}
    # The shop reads, edits and writes the whole document; what the cluster hides from it is lost with that.
    source = client.get(index=name, id="1")["_source"]
    client.index(index=name, id="1", document={**source, "stock": 3}, refresh=True)
    run_attach(services, plan_attach(services, name, media_root=tmp_path))
    assert search(services, name, image=blue).hits[0].nearest == {"image": 1}
    running.run_reindex(services, planning.plan_reindex(services, name), running.Options())
    fresh = make_services(engine)
    assert fresh.searcher.profile(name).concrete != f"{name}-1"
    hit = search(fresh, name, image=blue).hits[0]
    assert hit.nearest == {"image": 1} and (hit.signals["image"].raw or 0) > 0.99


@pytest.fixture
def page(shop: Clips) -> FlaskClient:
    return create_app(shop.services).test_client()


def test_files_of_a_product_are_served(page: FlaskClient, shop: Clips) -> None:
    video = page.get("/video/tclips/video-cut-0")
    assert (video.status_code, video.mimetype) == (200, "video/mp4")
    part = page.get("/video/tclips/video-cut-0", headers={"Range": "bytes=0-99"})
    assert (part.status_code, len(part.data)) == (206, 100)
    shown = [page.get(f"/poster/tclips/video-cut-0?at={at}") for at in (0.5, 3.5)]
    assert [one.mimetype for one in shown] == ["image/jpeg"] * 2 and shown[0].data != shown[1].data
    unchanged = page.get("/poster/tclips/video-cut-0?at=0.5", headers={"If-None-Match": shown[0].headers["ETag"]})
    assert unchanged.status_code == 304
    sound = next(row for row in shop.rows if "audio" in row)
    assert page.get(f"/audio/tclips/{sound['id']}").mimetype.startswith("audio/")
    wave = page.get(f"/waveform/tclips/{sound['id']}")
    assert wave.mimetype == "image/svg+xml" and wave.data.count(b"<rect") == 60
    moving = next(row for row in shop.rows if row.get("video", "").endswith((".gif", ".webp")))
    assert page.get(f"/poster/tclips/{moving['id']}").mimetype.startswith("image/")
    for address in (f"/video/tclips/{sound['id']}", "/audio/tclips/video-cut-0", "/poster/tclips/nothing"):
        assert page.get(address).status_code == 404
    assert page.get("/poster/tclips/video-cut-0?at=nan").status_code == 400
    assert "media-src 'self'" in page.get("/").headers["Content-Security-Policy"]


def test_only_what_is_one_is_served(engine: Any, name: str, tmp_path: Path) -> None:
    (tmp_path / "page.mp4").write_text("<html><script>alert(1)</script>")
    rows: list[dict[str, Any]] = [
        {"id": "a", "name": "lamp", "video": "page.mp4"}, {"id": "b", "name": "lamp", "video": "../../secret.mp4"},
    ]  # fmt: skip
    services = make_services(engine)
    path = write_rows(tmp_path / "c.ndjson", rows)
    index_file(services, path, name, tmp_path, signals=["text", "video"], media_root=tmp_path)
    client = create_app(services).test_client()
    assert [client.get(f"/{kind}/{name}/{id}").status_code for kind in ("video", "poster") for id in "ab"] == [404] * 4


def test_the_page_and_the_api_search_by_video_and_sound(page: FlaskClient, shop: Clips) -> None:
    for kind, words in (("video", "like your video"), ("audio", "like your sound")):
        clip = next(clip for clip in shop.asked if (clip.kind == "audio") == (kind == "audio"))
        data = clip.path.read_bytes()
        direct = search(shop.services, shop.name, **{kind: data}, size=24)
        sent = page.post("/api/search", data={"index": shop.name, "size": "24", kind: (io.BytesIO(data), "x")})
        assert [hit["id"] for hit in sent.json["hits"]] == [hit.id for hit in direct.hits]
        url = f"data:{kind}/x;base64,{base64.b64encode(data).decode()}"
        again = page.post("/api/search", json={"index": shop.name, "size": 24, kind: url})
        assert again.json["hits"] == sent.json["hits"]
        # In the form of a browser without script there is one field for files of any kind.
        shown = page.post("/", data={"index": shop.name, "image": (io.BytesIO(data), "x")}).get_data(as_text=True)
        assert words in shown and f'name="kept_image" value="data:{kind}/' in shown
        kept = shown.partition('name="kept_image" value="')[2].partition('"')[0]
        second = page.post("/", data={"index": shop.name, "kept_image": kept}).get_data(as_text=True)
        assert words in second
        assert (f'<{kind} src="/{kind}/' in shown) or kind == "video"
    wrong = page.post("/api/search", json={"index": shop.name, "audio": "data:text/html;base64,AAAA"})
    assert wrong.status_code == 400 and wrong.json["error"]["reason"].startswith("audio: must be a data URL")
