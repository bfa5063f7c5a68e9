"""The search page as a plain document, on the real engine: what it shows without any script."""

from __future__ import annotations

import base64
import io
import re
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from hybrid.node import NodeStatus
from tests.conftest import index_file, make_services
from tests.support.web_services import EVIL, Watched, WebShop, heic, jpeg
from web import create_app, strings
from web.shop import view

pytestmark = pytest.mark.es


@pytest.fixture
def services(web_shop: WebShop) -> Watched:
    return web_shop.services()


@pytest.fixture
def client(services: Watched) -> FlaskClient:
    return create_app(services).test_client()


def html_of(client: FlaskClient, url: str, status: int = 200, **more: Any) -> str:
    answer = client.get(url, **more)
    assert answer.status_code == status, answer.get_data(as_text=True)
    return answer.get_data(as_text=True)


def test_the_page_renders_hits_facets_and_paging(client: FlaskClient) -> None:
    start = html_of(client, "/")
    assert start.count('<li class="card">') == 24
    assert 'href="/?page=2"' in start
    assert 'name="filter" value="category:Shoes"' in start
    assert 'name="min.price"' in start
    found = html_of(client, "/?q=shoes&filter=category:Shoes&min.price=10&max.price=200&page=1")
    assert found.count('<li class="card">') == 6
    assert "<mark>shoes</mark>" in found
    assert 'value="category:Shoes" checked' in found
    assert "Why this result" in found
    assert 'href="/?q=shoes&amp;min.price=10&amp;max.price=200"' in found  # the chip that drops the category
    assert "<style" not in found and " style=" not in found and " onclick=" not in found


def test_the_page_asks_what_the_address_says(client: FlaskClient, services: Watched) -> None:
    html_of(client, "/?q=a&filter=brand:X&filter=brand:Y&min.price=1.5&system=rrf&page=2&utm_source=mail")
    # Nothing is found, so the page then asks for the categories of the shop.
    asked, of_categories = services.searcher.asked[-2:]
    assert (of_categories.q, of_categories.facets) == ("", ("category",))
    assert (asked.q, asked.system, asked.page) == ("a", "rrf", 2)
    assert asked.filters == {"brand": ["X", "Y"], "price": {"gte": 1.5}}
    assert client.get("/?page=zero").status_code == 400
    assert client.get("/?page=99999").status_code == 400


def test_the_page_takes_a_photo_by_form_and_carries_it(client: FlaskClient, services: Watched) -> None:
    photo = jpeg()
    url = "data:image/jpeg;base64," + base64.b64encode(photo).decode()
    first = client.post("/", data={"q": "shoe", "image": (io.BytesIO(photo), "a.jpg")})
    page = first.get_data(as_text=True)
    assert services.searcher.asked[-1].image == photo
    assert f'name="kept_image" value="{url}"' in page
    client.post("/", data={"q": "shoe", "kept_image": url, "page": "2"})
    assert (services.searcher.asked[-1].image, services.searcher.asked[-1].page) == (photo, 2)
    client.post("/", data={"kept_image": url, "drop_image": "1"})
    assert services.searcher.asked[-1].image is None


def test_a_heic_is_searched_by_and_carried(client: FlaskClient, services: Watched) -> None:
    """As iPhones send photos; few browsers can show one."""
    photo = heic()
    page = client.post("/", data={"image": (io.BytesIO(photo), "IMG_0001.HEIC")}).get_data(as_text=True)
    url = "data:image/heic;base64," + base64.b64encode(photo).decode()
    assert "Products like your photo" in page and '<li class="card">' in page
    assert f'name="kept_image" value="{url}"' in page and f'<img src="{url}"' not in page
    client.post("/", data={"kept_image": url, "page": "2"})
    assert services.searcher.asked[-1].image == photo
    sent = {"index": services.searcher.names[0], "image": (io.BytesIO(photo), "IMG_0001.HEIC")}
    found = client.post("/api/search", data=sent).json
    assert found["total"] and found == {
        **client.post("/api/search", json={"index": sent["index"], "image": url}).json, "took_ms": found["took_ms"],
    }  # fmt: skip


def test_a_table_without_types_or_pictures(engine: NodeStatus, name: str, tmp_path: Path) -> None:
    """What means no is shown as no, whatever its form; a photo finds nothing, and the page says why."""
    said = {"p1": "false", "p2": "no", "p3": "0", "p4": "outofstock", "p5": "true", "p6": "yes"}
    table = tmp_path / "shop.csv"
    table.write_text("id,title,in_stock\n" + "".join(f"{id},desk lamp {id},{value}\n" for id, value in said.items()))
    index_file(make_services(engine), table, name, tmp_path, signals=["text"])
    client = create_app(Watched(make_services(engine).settings, [name])).test_client()
    cards = html_of(client, "/?q=lamp").split('<li class="card">')[1:]
    shown = {id for id in said for card in cards if f"lamp</mark> {id}" in card and "Out of stock" in card}
    assert len(cards) == 6 and shown == {"p1", "p2", "p3", "p4"}
    hits = client.get(f"/api/search?index={name}&q=lamp").json["hits"]
    assert {hit["id"]: hit["in_stock"] for hit in hits} == {id: id in ("p5", "p6") for id in said}
    page = client.post("/", data={"image": (io.BytesIO(jpeg()), "a.jpg")}).get_data(as_text=True)
    assert "the products of this index have no such vectors" in page.split('class="about"')[0]
    assert "<strong>0 products</strong>" in page and '<li class="card">' not in page
    found = client.post("/api/search", data={"index": name, "image": (io.BytesIO(jpeg()), "a.jpg")}).json
    assert (found["total"], found["hits"], found["notes"][0]["kind"]) == (0, [], "no_vectors")


def test_everything_is_escaped(client: FlaskClient, web_shop: WebShop) -> None:
    """Names, facets, highlights, the reason of a degraded search, and what the visitor sent."""
    odd = {"index": web_shop.odd}
    found = html_of(client, "/", query_string={**odd, "q": "alert"})
    assert "<mark>alert</mark>" in found
    assert "encoded by &lt;script&gt;" in found
    unknown = {**odd, "q": EVIL, "filter": f"x:{EVIL}", f"min.{EVIL}": "1"}
    pages = [
        found,
        html_of(client, "/", query_string=odd),
        html_of(client, "/", query_string={**odd, "filter": f"brand:{EVIL}"}),
        html_of(client, "/", query_string={**odd, "q": EVIL}),
        html_of(client, "/", status=400, query_string=unknown),
    ]
    for page in pages:
        assert "&lt;script&gt;alert(1)" in page
        assert "<script>alert" not in page
        assert "<img src=x" not in page


def test_only_web_links_reach_the_page() -> None:
    assert view.safe_link("https://shop.example/p/1")
    for value in ("javascript:alert(1)", " JavaScript:alert(1)", "data:text/html,x", "//x", "", None, 4):
        assert not view.safe_link(value)


def test_chinese(client: FlaskClient) -> None:
    page = html_of(client, "/?q=运动鞋&lang=zh")
    assert '<html lang="zh-Hans">' in page
    assert "日常针织<mark>运动鞋</mark>" in page
    assert 'name="filter" value="category_zh:鞋履"' in page
    assert "为什么是它" in page and "Why this result" not in page
    by_header = html_of(client, "/", headers={"Accept-Language": "zh-CN,zh;q=0.9,en;q=0.5"})
    assert '<html lang="zh-Hans">' in by_header
    assert '<html lang="en">' in html_of(client, "/?lang=en", headers={"Accept-Language": "zh-CN"})


def test_states_of_the_page(client: FlaskClient, services: Watched, web_shop: WebShop) -> None:
    nothing = html_of(client, "/?q=zzzz&system=bm25")
    assert "Nothing matches that" in nothing
    assert re.search(r'The shop has</span>\s*<a class="chip" data-nav href="/\?[^"]*filter=category', nothing)
    assert "Nothing matches that" in html_of(client, "/?q=...")
    assert "no such page" in html_of(client, "/?q=shoes&page=9")
    page = html_of(client, f"/?q=picture&index={web_shop.odd}")
    assert "Meaning is not compared at the moment" in page
    assert "this process has toy@32+1" in page
    assert "Pictures are not compared at the moment" in page
    services.searcher.names = [web_shop.name, web_shop.odd]
    assert f"<option selected>{web_shop.odd}" in html_of(client, f"/?index={web_shop.odd}")
    assert client.get("/?index=nothing").status_code == 404


def test_both_languages_say_everything() -> None:
    english, chinese = (strings.STRINGS[lang] for lang in strings.LANGUAGES)
    assert english.keys() == chinese.keys()
    assert all(english.values()) and all(chinese.values())


# ---- small parts -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("highlight", "text", "expected"),
    [
        ("a <mark>b</mark>", "a b", [("a ", False), ("b", True)]),
        ("x a <mark>b y</mark>", "a b", [("a ", False), ("b", True)]),  # the role joins several fields
        ("&lt;mark&gt; <mark>&amp;</mark>", "<mark> &", [("<mark> ", False), ("&", True)]),
        ("other", "a b", None),
    ],
)
def test_marks_fall_on_the_shown_text(highlight: str, text: str, expected: Any) -> None:
    assert view.marks_in(text, view.marked(highlight)) == expected


@pytest.mark.parametrize(
    ("value", "currency", "shown"),
    [(1299, None, "1,299.00"), (9.5, "eur", "€9.50"), (1200, "JPY", "¥1,200"), ("12.5", "CHF", "CHF 12.50"),
     ("on request", None, "on request"), (True, None, "")],
)  # fmt: skip
def test_prices(value: Any, currency: Any, shown: str) -> None:
    assert strings.price(value, currency) == shown


def test_browsing_ignores_the_system(client: FlaskClient, services: Watched) -> None:
    html_of(client, "/?system=image")
    assert services.searcher.asked[-1].system is None


def test_a_mistyped_search_offers_the_other_reading(client: FlaskClient, services: Watched) -> None:
    found = html_of(client, "/?q=stonewear+mug&filter=category:Kitchen")
    assert "Showing results for “stoneware mug” too." in found
    exact = "/?q=stonewear+mug&amp;filter=category%3AKitchen&amp;exact=stonewear+mug"
    assert f'data-nav href="{exact}">Search only for “stonewear mug”</a>' in found
    assert services.searcher.asked[-1].correct
    only = html_of(client, exact.replace("&amp;", "&"))
    assert not services.searcher.asked[-1].correct
    assert "Showing results for" not in only and 'type="hidden" name="exact" value="stonewear mug"' in only
    html_of(client, "/?q=tabel+lamp&exact=stonewear+mug")  # the next search of the same form
    assert services.searcher.asked[-1].correct
    assert "同时显示“stoneware mug”的结果" in html_of(client, "/?q=stonewear+mug&lang=zh")


def test_pager() -> None:
    assert view.page_numbers(1, 1) == [1]
    assert view.page_numbers(3, 5) == [1, 2, 3, 4, 5]
    assert view.page_numbers(6, 20) == [1, None, 5, 6, 7, None, 20]
