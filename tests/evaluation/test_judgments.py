"""Judgments in and out: every format, scales other than ours, and files that cannot be read."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest

from hybrid.errors import UsageError
from hybrid.evaluation.formats import FORMATS, read_judgments, write_judgments
from hybrid.evaluation.judgments import JudgedQuery, Judgments

RATINGS = {"red lamp": {"a": 3.0, "b-1": 0.0}, "降噪 耳机": {"a": 1.0}, 'say "hi", twice': {"c/2": 2.0}}


@pytest.mark.parametrize("format", FORMATS)
def test_there_and_back(tmp_path: Path, format: str) -> None:
    written = write_judgments(Judgments(RATINGS), tmp_path / "judged", format)
    assert all(path.is_file() for path in written)
    found = read_judgments(tmp_path / "judged")
    assert found.format == format
    assert found.ratings == RATINGS
    assert found.notes == ()


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_quepid_export_with_its_own_columns(tmp_path: Path) -> None:
    text = "Team Name,Query Text,Doc ID,Rating\nshop,lamp,7,3\nshop,lamp,8,\n"
    assert read_judgments(write(tmp_path / "case.csv", text)).ratings == {"lamp": {"7": 3.0}}


def test_trec_with_queries_named_or_beside(tmp_path: Path) -> None:
    qrels = write(tmp_path / "qrels.txt", "301 0 d1 2\n301 0 d2 0\n302 0 d1 1\n")
    with pytest.raises(UsageError, match="names queries by number"):
        read_judgments(qrels)
    named = write(tmp_path / "mine", "301\tred lamp\n302\tblue mug\n")
    expected = {"red lamp": {"d1": 2.0, "d2": 0.0}, "blue mug": {"d1": 1.0}}
    assert read_judgments(qrels, named).ratings == expected
    named.rename(tmp_path / "topics.tsv")
    assert read_judgments(qrels).ratings == expected
    write(tmp_path / "topics.tsv", "301\tred lamp\n")
    with pytest.raises(UsageError, match=r"line 3: no text for query '302'"):
        read_judgments(qrels)


def test_beir_folder(tmp_path: Path) -> None:
    (tmp_path / "qrels").mkdir()
    write(tmp_path / "qrels" / "test.tsv", "query-id\tcorpus-id\tscore\nq1\td1\t1\n")
    write(tmp_path / "queries.jsonl", '{"_id": "q1", "text": "red lamp", "metadata": {}}\n')
    assert read_judgments(tmp_path).ratings == {"red lamp": {"d1": 1.0}}


def test_ranklib_with_features_and_weights(tmp_path: Path) -> None:
    text = "# qid:1: rambo*1\n#\n# title\n4\tqid:1 #\t7555\tRambo\n0\tqid:1\t1:0.5 2:0.1 # 1370 Rambo III\n"
    assert read_judgments(write(tmp_path / "j.txt", text)).ratings == {"rambo": {"7555": 4.0, "1370": 0.0}}


def test_rre_in_all_its_shapes(tmp_path: Path) -> None:
    query = {"template": "t.json", "placeholders": {"$filter": "x", "$query": "lamp"}}
    other = {"template": "t.json", "placeholders": {"$q": "mug"}}
    data = {
        "topics": [{"query_groups": [{"queries": [query], "relevant_documents": {"3": ["a", "b"], "1": ["c"]}}]}],
        "query_groups": [{"queries": [other], "relevant_documents": [{"d": {"gain": 2}}]}],
    }
    found = read_judgments(write(tmp_path / "ratings.json", orjson.dumps(data).decode()))
    assert found.ratings == {"lamp": {"a": 3.0, "b": 3.0, "c": 1.0}, "mug": {"d": 2.0}}


def test_ratings_on_other_scales(tmp_path: Path) -> None:
    gains = write(tmp_path / "g.csv", "query,docid,rating\nq,a,100\nq,b,10\nq,c,1\nq,d,0\n")
    found = read_judgments(gains)
    assert {id: round(2**grade - 1) for id, grade in found.ratings["q"].items()} == {"a": 100, "b": 10, "c": 1, "d": 0}
    assert found.notes == ("ratings up to 100 count as gains",)
    write_judgments(found, tmp_path / "out.csv", "quepid")
    assert (tmp_path / "out.csv").read_text() == gains.read_text()
    clicks = read_judgments(write(tmp_path / "c.csv", "query,docid,rating\nq,a,0.9\nq,b,0.1\n"))
    assert clicks.ratings["q"] == {"a": pytest.approx(2.7), "b": pytest.approx(0.3)}
    assert read_judgments(write(tmp_path / "b.csv", "query,docid,rating\nq,a,1\nq,b,0\n")).notes == ()


def test_real_judgments_of_the_search_relevance_workbench(shared: Path) -> None:
    found = read_judgments(shared / "ubi" / "esci_us_judgments.json")
    assert (found.format, len(found.ratings), sum(map(len, found.ratings.values()))) == ("srw", 150, 6678)


def test_words_and_photos_together(tmp_path: Path) -> None:
    (tmp_path / "p.jpg").write_bytes(b"photo")
    path = write(tmp_path / "j.csv", "query,image,docid,rating\nin red,p.jpg,a,3\n,p.jpg,b,3\nlamp,,c,3\n")
    found = read_judgments(path)
    assert found.queries == {
        "in red + p.jpg": JudgedQuery("in red", "p.jpg"), "p.jpg": JudgedQuery("", "p.jpg"),
    }  # fmt: skip
    request = found.request("in red + p.jpg", index="shop")
    assert (request.q, request.image) == ("in red", b"photo")
    assert found.request("lamp", index="shop").image is None
    write_judgments(found, tmp_path / "again.csv", "quepid")
    assert read_judgments(tmp_path / "again.csv").queries == found.queries
    with pytest.raises(UsageError, match="judged photos cannot be written as trec"):
        write_judgments(found, tmp_path / "x", "trec")
    (tmp_path / "p.jpg").unlink()
    with pytest.raises(UsageError, match=r"judged photo 'p.jpg' is not in"):
        found.request("p.jpg", index="shop")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("j.csv", "query,docid\na,b\n", "columns query,docid,rating"),
        ("j.csv", "query,docid,rating\na,b,good\n", "line 2: rating 'good'"),
        ("j.csv", "query,docid,rating\na,b,nan\n", "line 2: rating 'nan'"),
        ("j.csv", "query,docid,rating\n,b,1\n", "without a query"),
        ("j.csv", "query,docid,rating\n", "no judgments"),
        ("j.csv", "", "columns query,docid,rating"),
        ("j.json", '{"judgmentRatings": [{"query": "q"}]}', "unknown shape"),
        ("j.json", '{"other": 1}', "SRW"),
        ("j.json", "{", "not JSON"),
        ("j.txt", "1 qid:1 1:0.5\n", "line 1"),
        ("j.txt", "1 0 d1 2\n1 0 d2\n", "line 2: 3 columns"),
    ],
)
def test_judgments_that_cannot_be_read(tmp_path: Path, name: str, content: str, message: str) -> None:
    write(tmp_path / "queries.tsv", "1\tlamp\n")
    with pytest.raises(UsageError, match=message):
        read_judgments(write(tmp_path / name, content))


def test_what_a_format_cannot_hold(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no judgments file"):
        read_judgments(tmp_path / "none.csv")
    with pytest.raises(UsageError, match="has a space"):
        write_judgments(Judgments({"q": {"a b": 1.0}}), tmp_path / "x", "trec")
    with pytest.raises(UsageError, match="no format 'xml'"):
        write_judgments(Judgments(RATINGS), tmp_path / "x", "xml")
    with pytest.raises(UsageError, match="cannot write"):
        write_judgments(Judgments(RATINGS), tmp_path / "none" / "x", "srw")


@pytest.mark.parametrize("head", ["", "sep=;\n"])
def test_judgments_that_excel_saved(tmp_path: Path, head: str) -> None:
    path = tmp_path / "j.csv"
    path.write_text(f"{head}query;docid;rating\nlamp, red;p1;3\nlamp, red;p2;2,5\nmug;p3;0\n", "utf-8-sig")
    assert read_judgments(path).ratings == {"lamp, red": {"p1": 3.0, "p2": 2.5}, "mug": {"p3": 0.0}}
