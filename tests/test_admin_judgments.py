"""Judgment lists in the cluster, on the real engine."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from hybrid.elastic.judgment_lists import JudgmentLists
from hybrid.errors import UsageError
from hybrid.judgment_archives import archived, read_upload
from hybrid.judgments import FORMATS, Judgments
from hybrid.wiring import Services

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


def test_judged_photos_are_refused_whole(lists: JudgmentLists, name: str) -> None:
    judged = read_upload("j.csv", b"query,image,docid,rating\nlamp,,p1,3\n,a.jpg,p2,1\n")
    with pytest.raises(UsageError, match="photo"):
        lists.take_in(name, "team", judged, "ed")
    assert lists.lists(name) == []


def test_evaluation_takes_a_list_by_its_name(services: Services, lists: JudgmentLists, name: str) -> None:
    lists.rate(name, "team", "lamp", "p1", 2, "ed")
    assert services.judged(name, "list:team").ratings == {"lamp": {"p1": 2}}
    with pytest.raises(UsageError, match="no judgment list 'none'"):
        services.judged(name, "list:none")
