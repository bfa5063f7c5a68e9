"""Pictures behind addresses and in data URLs as catalogue values: fetched once, told apart when they change, refused
with a reason that stands in the failures list."""

from __future__ import annotations

import base64
import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from PIL import Image

from hybrid.media import sandbox
from hybrid.operations import indexing
from hybrid.operations.attach import plan_attach, run_attach
from hybrid.services import Services
from tests.conftest import index_file, make_services, write_rows
from tests.support.picture_server import Server
from tests.support.raw import client_of
from tests.support.waiting import until
from web import create_app

pytestmark = pytest.mark.es


def png(shade: int) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (40, 40), (shade, 10, 200)).save(out, "PNG")
    return out.getvalue()


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        server.pictures = {f"/{number}.png": png(number * 20) for number in range(6)}
        yield server


@pytest.fixture
def services(engine: Any, server: Server) -> Services:
    return make_services(engine, media_private_hosts=f"localhost:{server.port}")


def row(number: int, image: str, **extra: Any) -> dict[str, Any]:
    return {"id": f"p{number}", "name": f"Lamp number {number}", "price": 10 + number, "image": image, **extra}


def rows(server: Server, **extra: Any) -> list[dict[str, Any]]:
    return [row(number, f"http://localhost:{server.port}/{number}.png", **extra) for number in range(6)]


def run(services: Services, folder: Path, name: str, data: list[dict[str, Any]], **options: Any) -> Any:
    return index_file(services, write_rows(folder / "c.ndjson", data), name, folder, **options)


def count(services: Services, name: str) -> int:
    return services.cluster.indices.count(name, {"exists": {"field": "hybrid.image"}})


def sent(server: Server) -> list[str]:
    """Paths of the pictures that were sent as a whole since the last call."""
    found = [path for path, headers in server.seen if "If-None-Match" not in headers]
    server.seen.clear()
    return sorted(found)


def vector_note(services: Services, name: str, id: str) -> dict[str, Any]:
    return dict(client_of(services).get(index=name, id=id)["_source"]["hybrid"]["meta"]["image"])


def test_pictures_behind_addresses_are_fetched_once(
    services: Services, server: Server, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = services.encoder("toy:32")
    original, encoded = encoder.encode_images, list[Any]()

    def counting(images: Any) -> Any:
        encoded.extend(images)
        return original(images)

    monkeypatch.setattr(encoder, "encode_images", counting)
    first = run(services, tmp_path, name, rows(server))
    assert first.signals == ["lexical", "text", "image"] and first.complete
    assert (count(services, name), len(encoded)) == (6, 6)
    encoded.clear()
    # The first one is tried while the run is planned.
    assert sent(server) == ["/0.png", *(f"/{number}.png" for number in range(6))]
    note = vector_note(services, name, "p2")
    assert note["url"].endswith("/2.png") and note["etag"]

    again = run(services, tmp_path, name, rows(server), signals=["text", "image"])
    assert (again.unchanged, server.seen) == (6, [])

    # Another price: the server is asked whether the picture changed, and nothing is sent or encoded.
    priced = rows(server)
    for product in priced:
        product["price"] += 1
    third = run(services, tmp_path, name, priced, signals=["text", "image"])
    assert (third.written, third.complete, encoded) == (6, True, [])
    assert len(server.seen) == 6 and sent(server) == []
    assert count(services, name) == 6

    # One changed behind its address, and all are looked at on such an occasion.
    server.pictures["/3.png"] = png(250)
    for product in priced:
        product["price"] += 1
    fourth = run(services, tmp_path, name, priced, signals=["text", "image"])
    assert (fourth.written, len(encoded)) == (6, 1)
    assert vector_note(services, name, "p3")["etag"] != note["etag"]
    assert services.cluster.indices.count(name, {"exists": {"field": "hybrid.meta.pending"}}) == 0

    # The same picture at another address: fetched, not encoded; and then a file again.
    priced[1]["image"] = f"http://localhost:{server.port}/1.png?v=2"
    server.pictures["/1.png?v=2"] = server.pictures["/1.png"]
    server.seen.clear()
    moved = run(services, tmp_path, name, priced, signals=["text", "image"])
    assert (moved.written, len(encoded), sent(server)) == (1, 1, ["/1.png?v=2"])
    assert vector_note(services, name, "p1")["url"].endswith("?v=2")
    (tmp_path / "a.png").write_bytes(png(77))
    priced[1]["image"] = "a.png"
    filed = run(services, tmp_path, name, priced, signals=["text", "image"])
    assert (filed.written, len(encoded)) == (1, 2)
    assert vector_note(services, name, "p1").get("url") is None


def test_data_urls_and_failures_with_reasons(services: Services, server: Server, name: str, tmp_path: Path) -> None:
    here = f"http://localhost:{server.port}"
    server.pictures |= {"/page.png": b"<html>not here</html>", "/cut.png": png(9)[:60]}
    inline = "data:image/png;base64," + base64.b64encode(png(99)).decode()
    images = {
        inline: None,
        f"{here}/1.png": None,
        "data:image/png;base64,@@@": "image_data_url_invalid",
        "data:text/html,<script>": "image_data_url_invalid",
        "data:image/svg+xml;base64," + base64.b64encode(b"<svg/>").decode(): "image_unsupported",
        f"{here}/page.png": "image_unsupported",
        f"{here}/cut.png": "image_unreadable",
        f"{here}/status/404": "image_url_status",
        f"{here}/redirect/http://127.0.0.1/": "image_address_refused",
        "http://127.0.0.1/a.png": "image_address_refused",
        "http://169.254.169.254/latest/meta-data/": "image_address_refused",
        f"http://127.0.0.1:{server.port}/1.png": "image_url_invalid",
        "ftp://localhost/a.png": "image_url_unsupported",
        "none.png": "image_missing",
    }
    data = [row(number, image) for number, image in enumerate(images)]
    report = run(services, tmp_path, name, data)
    wanted = {f"p{number}": reason for number, reason in enumerate(images.values()) if reason}
    client_of(services).indices.refresh(index="hybrid-dead-letters")
    letters = services.dead_letters.list(name, 100)
    assert {letter["product"]: letter["reason"] for letter in letters} == wanted
    assert sum(report.failed.values()) == len(wanted) and not report.complete
    assert count(services, name) == 2
    # The page shows the one that stands in the row itself, and nothing that is no picture.
    client = create_app(services).test_client()
    shown = client.get(f"/media/{name}/p0")
    assert (shown.status_code, shown.mimetype, shown.data) == (200, "image/png", png(99))
    assert [client.get(f"/media/{name}/p{number}").status_code for number in (2, 3, 4)] == [404] * 3
    # The text of all is there: a bad picture costs no more than itself.
    assert services.cluster.indices.count(name, {"exists": {"field": "hybrid.text"}}) == len(data)


def test_an_attached_index_looks_at_its_pictures_again_when_asked(
    services: Services, server: Server, name: str
) -> None:
    for product in rows(server):
        client_of(services).index(index=name, id=product["id"], document=product)
    client_of(services).indices.refresh(index=name)
    report = run_attach(services, plan_attach(services, name))  # no folder is needed where no picture is a file
    assert (report.complete, count(services, name)) == (True, 6)
    before = vector_note(services, name, "p3")
    server.pictures["/3.png"] = png(250)
    server.seen.clear()
    run_attach(services, plan_attach(services, name, signals=["text", "image"]))
    assert len(server.seen) >= 6
    assert vector_note(services, name, "p3")["hash"] != before["hash"]
    assert vector_note(services, name, "p2")["etag"]
    assert services.cluster.indices.count(name, {"exists": {"field": "hybrid.meta.pending"}}) == 0


def test_where_no_picture_can_be_fetched_the_plan_says_so(services: Services, name: str, tmp_path: Path) -> None:
    data = [row(number, f"http://127.0.0.1/{number}.png") for number in range(4)]
    path = write_rows(tmp_path / "c.ndjson", data)
    [note] = [note for note in indexing.plan_index(services, path, name).notes if "no image vectors" in note]
    assert "not public" in note and "--signals text,image" in note
    report = index_file(services, path, name, tmp_path)
    assert report.signals == ["lexical", "text"] and report.complete
    asked = run(services, tmp_path, f"{name}-2", data, signals=["text", "image"])
    assert asked.failed == {"image_address_refused": 4}


def test_fetching_that_is_off_leaves_addresses_alone(engine: Any, server: Server, name: str, tmp_path: Path) -> None:
    off = make_services(engine, media_urls=False, media_private_hosts=f"localhost:{server.port}")
    report = run(off, tmp_path, name, rows(server), signals=["text", "image"])
    assert report.complete and count(off, name) == 0 and server.seen == []


def test_workers_decode_beside_themselves_and_leave_nothing_behind(
    services: Services, server: Server, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HYBRID_MEDIA_PRIVATE_HOSTS", f"localhost:{server.port}")  # workers read settings of their own
    # Workers hand their path to their decoders, which are told by it from those of other tests.
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [os.environ.get("PYTHONPATH"), str(tmp_path)])))
    bomb = io.BytesIO()
    Image.new("RGB", (4000, 4000)).save(bomb, "JPEG", progressive=True, subsampling=0)
    (tmp_path / "bomb.jpg").write_bytes(bomb.getvalue())
    (tmp_path / "cut.png").write_bytes(png(5)[:70])
    data = [*rows(server), row(6, "bomb.jpg"), row(7, "cut.png")]
    path = write_rows(tmp_path / "c.ndjson", data)
    plan = indexing.plan_index(services, path, name, signals=["text", "image"])
    most: set[int] = set()
    report = indexing.run_index(
        services, plan, workers=1, rejects_path=tmp_path / "rejects", report=lambda _: most.update(_decoders(tmp_path))
    )
    assert report.failed == {"image_too_large": 1, "image_unreadable": 1}
    assert count(services, name) == 6
    assert most
    until(lambda: not _decoders(tmp_path), "the end of the decoders")


def _decoders(folder: Path) -> set[int]:
    """Decoding processes that live, of workers with that folder on their path."""
    script = str(Path(sandbox.__file__))
    found = psutil.process_iter(["cmdline", "status", "environ"])
    return {
        one.pid
        for one in found
        if script in (one.info["cmdline"] or []) and one.info["status"] != "zombie"
        and str(folder) in (one.info["environ"] or {}).get("PYTHONPATH", "").split(os.pathsep)
    }  # fmt: skip
