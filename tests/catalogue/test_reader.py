"""Reading catalogues: every format, broken files, and memory that does not grow with the file."""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import subprocess
import sys
import tracemalloc
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hybrid.catalogue.reader import MAX_REJECT_CHARS, MAX_ROW_BYTES, RejectsFile, open_catalogue
from hybrid.contracts import Product, Reject
from hybrid.errors import CatalogueError

SHARED = Path(__file__).parents[3] / "shared" / "data"
ROWS = [{"id": "1", "name": "a"}, {"id": "2", "name": "b"}]


def shared(name: str) -> Path:
    """A file of the real data. Absent: skip, but fail in CI, where it must be."""
    path = SHARED / name
    if not path.exists():
        if os.environ.get("CI"):
            pytest.fail(f"{path} is absent")
        pytest.skip(f"{path} is absent")
    return path


def read(path: Path, ids: Iterable[str] = ("id",)) -> tuple[list[Product], list[Reject]]:
    with open_catalogue(path) as catalogue:
        items = list(catalogue.rows(tuple(ids)))
    return [i for i in items if isinstance(i, Product)], [i for i in items if isinstance(i, Reject)]


def written(tmp_path: Path, name: str, content: str | bytes) -> Path:
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def reasons(rejects: list[Reject]) -> list[tuple[int, str]]:
    return [(reject.line, reject.reason) for reject in rejects]


NDJSON = "".join(json.dumps(row) + "\n" for row in ROWS)


@pytest.mark.parametrize(
    ("name", "content", "kind", "lines"),
    [
        ("a.ndjson", NDJSON, "ndjson", [1, 2]),
        ("a.jsonl", NDJSON.replace("\n", "\r\n"), "ndjson", [1, 2]),
        ("a.ndjson", "\n" + NDJSON.replace("\n", "\n\n").rstrip(), "ndjson", [2, 4]),
        ("a.json", NDJSON, "ndjson", [1, 2]),
        ("noextension", NDJSON, "ndjson", [1, 2]),
        ("a.csv", NDJSON, "ndjson", [1, 2]),
        ("a.ndjson", b"\xef\xbb\xbf" + NDJSON.encode(), "ndjson", [1, 2]),
        ("a.ndjson", NDJSON.encode("utf-16"), "ndjson", [1, 2]),
        ("a.ndjson", NDJSON.encode("utf-32"), "ndjson", [1, 2]),
        ("a.json", json.dumps(ROWS), "json", [1, 2]),
        ("a.json", "\n " + json.dumps(ROWS, indent=2) + "\n", "json", [1, 2]),
        ("a.ndjson", json.dumps(ROWS, indent=2), "json", [1, 2]),
        ("a.json", json.dumps({"products": ROWS}), "json", [1, 2]),
        ("a.json", json.dumps({"took": [3], "products": ROWS, "n": 2}, indent=1), "json", [1, 2]),
        ("a.csv", "id,name\n1,a\n2,b\n", "csv", [2, 3]),
        ("a.csv", "\ufeffid;name\r\n1;a\r\n\r\n2;b", "csv", [2, 4]),
        ("a.csv", "id|name\n1|a\n2|b\n", "csv", [2, 3]),
        ("a.csv", "id,name\r1,a\r2,b\r", "csv", [2, 3]),
        ("a.csv", "id\tname\n1\ta\n2\tb\n", "tsv", [2, 3]),
        ("a.tsv", "id\tname\n1\ta\n2\tb\n", "tsv", [2, 3]),
        ("a.txt", "id\tname\n1\ta\n2\tb\n", "tsv", [2, 3]),
        ("a.json", "id,name\n1,a\n2,b\n", "csv", [2, 3]),
    ],
)
@pytest.mark.parametrize("zipped", [False, True])
def test_every_format_gives_the_same_rows(
    tmp_path: Path, name: str, content: str | bytes, kind: str, lines: list[int], zipped: bool
) -> None:
    data = content.encode() if isinstance(content, str) else content
    # gzip is known by its magic, so the name need not say so
    path = written(tmp_path, name, gzip.compress(data) if zipped else data)
    with open_catalogue(path) as catalogue:
        assert (catalogue.format, catalogue.compressed) == (kind, zipped)
        assert catalogue.position() == 0
        items = list(catalogue.rows(["id"]))
        assert catalogue.position() == catalogue.size_bytes == path.stat().st_size
        assert catalogue.sample(1) == ROWS[:1]
        assert catalogue.sample() == ROWS
    assert items == [
        Product(row["id"], row, line) for row, line in zip(ROWS, lines, strict=True)
    ]  # fmt: skip


def test_gz_suffix_and_several_gzip_members(tmp_path: Path) -> None:
    halves = NDJSON.encode().splitlines(keepends=True)
    path = written(tmp_path, "a.ndjson.gz", b"".join(map(gzip.compress, halves)) + b"\0" * 512)
    assert [p.id for p in read(path)[0]] == ["1", "2"]


def test_csv_cells(tmp_path: Path) -> None:
    text = (
        "ean,name,tags,size,note\n"
        '0095,"a ""b"", c\nd","[""x"",""y""]","{""w"":1}",\n'
        '0096,17" screen,[not json],{,x\n'
        "0097,a,b,c\n"
        "0098,a,b,c,d,e\n"
        ",a,b,c,d\n"
    )
    products, rejects = read(written(tmp_path, "a.csv", text), ["ean"])
    assert [p.source for p in products] == [
        {"ean": "0095", "name": 'a "b", c\nd', "tags": ["x", "y"], "size": {"w": 1}},
        {"ean": "0096", "name": '17" screen', "tags": "[not json]", "size": "{", "note": "x"},
    ]
    assert [p.line for p in products] == [2, 4]
    assert reasons(rejects) == [(5, "bad_columns"), (6, "bad_columns"), (7, "missing_id")]
    assert rejects[0].message == "the row has 4 cells, the header 5"
    assert rejects[0].row == "0097,a,b,c"


def test_a_quote_never_closed_costs_one_csv_row(tmp_path: Path) -> None:
    products, rejects = read(written(tmp_path, "a.csv", 'id,name\n1,a\n2,"b\n3,c\n4,d\n'))
    assert [p.id for p in products] == ["1", "3", "4"]
    assert reasons(rejects) == [(3, "bad_columns")]


@pytest.mark.parametrize(
    ("header", "word"), [("id,name,name", "two columns are named name"), ("id,,name", "column 2 has no name")]
)
def test_csv_header_that_cannot_be_used(tmp_path: Path, header: str, word: str) -> None:
    with pytest.raises(CatalogueError, match=word):
        open_catalogue(written(tmp_path, "a.csv", f"{header}\n1,2,3\n"))


def test_ndjson_rejects(tmp_path: Path) -> None:
    lines = [
        b'{"id": "1"}', b'{"id": "1", "x": 2}', b'{"id": ', b"[1]", b'{"name": "x"}', b'{"id": NaN}',
        b'{"id": "caf\xe9"}', b'{"id": "' + b"\xc3\xa9" * 257 + b'"}', b'{"id": true, "sku": 7}',
        b'{"id": "  "}',
        b'{"id": 123456789012345678901234567890}', b'{"id": 8.0}', b'{"id": {"a": [null, 9]}}', b"\0",
        b'{"id": 7}',
    ]  # fmt: skip
    path = written(tmp_path, "a.ndjson", b"\n".join(lines))
    products, rejects = read(path, ["id", "sku"])
    assert [(p.line, p.id) for p in products] == [(1, "1"), (9, "7"), (12, "8"), (13, "9")]
    assert reasons(rejects) == [
        (2, "duplicate_id"), (3, "bad_json"), (4, "not_an_object"), (5, "missing_id"), (6, "bad_json"),
        (7, "bad_encoding"), (8, "bad_id"), (10, "missing_id"), (11, "bad_id"), (14, "bad_json"),
        (15, "duplicate_id"),
    ]  # fmt: skip
    assert rejects[0].row == '{"id": "1", "x": 2}'
    assert rejects[3].message == "no value in id or sku"


def test_nested_ids(tmp_path: Path) -> None:
    products, rejects = read(written(tmp_path, "a.ndjson", '{"offer": {"id": 5}}\n{"offer": 5}\n'), ["offer.id"])
    assert [p.id for p in products] == ["5"]
    assert reasons(rejects) == [(2, "missing_id")]


def test_json_array_rejects(tmp_path: Path) -> None:
    text = b'[{"id": "1"}, 5, {"id": NaN}, {"id": "caf\xe9"}, {"a": "]},{\\""}, , {"id": "\\\\"}, {"id":"1"}] x'
    products, rejects = read(written(tmp_path, "a.json", text))
    assert [(p.line, p.id) for p in products] == [(1, "1"), (7, "\\")]
    assert reasons(rejects) == [
        (2, "not_an_object"), (3, "bad_json"), (4, "bad_encoding"), (5, "missing_id"), (6, "bad_json"),
        (8, "duplicate_id"), (9, "bad_json"),
    ]  # fmt: skip


def test_json_array_that_is_empty_or_breaks_off(tmp_path: Path) -> None:
    assert read(written(tmp_path, "a.json", "[ ]")) == ([], [])
    products, rejects = read(written(tmp_path, "b.json", '[{"id": 1}, {"id": 2'))
    assert [p.id for p in products] == ["1"]
    assert reasons(rejects) == [(2, "truncated_file")]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64])
def test_array_elements_across_chunks(tmp_path: Path, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [{"id": str(i), "t": '\\"]}, [{' + "é" * i, "n": [{"x": ["\\"]}]} for i in range(20)]
    path = written(tmp_path, "a.json", "\n\n" + json.dumps({"items": rows}, ensure_ascii=False, indent=1))
    catalogue = open_catalogue(path)
    monkeypatch.setattr("hybrid.catalogue.streams.CHUNK", size)
    assert [p.source for p in catalogue.rows(["id"]) if isinstance(p, Product)] == rows


@pytest.mark.parametrize(
    ("name", "content", "word"),
    [
        ("a.ndjson", b"", "is empty"),
        ("a.csv", b" \n\n ", "is empty"),
        ("a.csv", b"\xef\xbb\xbf", "is empty"),
        ("a.ndjson.gz", gzip.compress(b"", mtime=0), "is empty"),
        ("a.ndjson", b"\x89PNG\r\n\x1a\n" + b"\0" * 99, "is a PNG picture"),
        ("a.csv", b"PK\x03\x04" + b"\0" * 99, "Excel sheet; unpack it, or save the sheet as CSV"),
        ("a.ndjson", bytes(range(256)), "is a binary file"),
        ("a.ndjson", b"once upon a time\nthere was a shop\n", "cannot be read as a catalogue"),
        ("a.json", b'{"a": \n', "cannot be read as a catalogue"),
        ("a.json", b'{"id": 1,\n "name": "x"}', "is one JSON object, not an array"),
        ("a.json", b'{"id": 1}', "is one JSON object, not an array"),
        ("a.json", b'"products"', "not an array"),
        ("a.json", b"42", "not an array"),
        ("a.xml", b"<products/>", "XML or HTML"),
        ("a.csv.gz", gzip.compress(b"id,name\n1,a\n", mtime=0)[:11], "the gzip data ends too early"),
        ("a.ndjson", NDJSON.encode("utf-16-le"), "looks like UTF-16LE"),
        ("a.csv", "编号,名称\n1,红色连衣裙\n".encode("gb18030"), "iconv -f GB18030 -t UTF-8"),
        ("a.csv", "id,name\n1,红色连衣裙\n2,手提包\n".encode("gb18030"), "iconv -f GB18030 -t UTF-8"),
        ("a.ndjson", '{"id": 1, "name": "紅色連衣裙的樣子"}\n'.encode("big5"), "looks like BIG5"),
        ("a.ndjson", '{"id": 1, "name": "Möbelstück"}\n'.encode("latin-1"), "WINDOWS-1252"),
    ],
)
def test_files_that_are_no_catalogue(tmp_path: Path, name: str, content: bytes, word: str) -> None:
    with pytest.raises(CatalogueError) as caught:
        open_catalogue(written(tmp_path, name, content))
    assert word in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(CatalogueError, match="does not exist"):
        open_catalogue(tmp_path / "none.csv")
    with pytest.raises(CatalogueError, match="is a folder"):
        open_catalogue(tmp_path)


def test_single_rows_in_another_encoding(tmp_path: Path) -> None:
    text = "id,name\n1,Stühle\n".encode() + "2,Möbel\n3,Tisch\n".encode("latin-1")
    products, rejects = read(written(tmp_path, "a.csv", text))
    assert [p.id for p in products] == ["1", "3"]
    assert reasons(rejects) == [(3, "bad_encoding")]


@pytest.mark.parametrize("head", ["", "sep=,\r\n", '"sep=,"\n'])
def test_what_excel_saves_is_read(tmp_path: Path, head: str) -> None:
    text = f"{head}id,name,preis\n1,Stuhl,3\n2,Möbel für 5 €,5\n".encode("cp1252") + b"3,\x81,1\n"
    path = written(tmp_path, "a.csv", text)
    products, rejects = read(path)
    assert [p.source["name"] for p in products] == ["Stuhl", "Möbel für 5 €", "\ufffd"] and rejects == []
    with open_catalogue(path) as catalogue:
        assert catalogue.is_western
        assert len(catalogue.sample()) == 3
    assert products[0].line == (3 if head else 2)


def test_a_letter_that_comes_late_tells_the_encoding_too(tmp_path: Path) -> None:
    rows = "".join(f"{number},Tisch\n" for number in range(900))
    products, rejects = read(written(tmp_path, "a.csv", f"id,name\n{rows}x,Möbel\n".encode("cp1252")))
    assert products[-1].source["name"] == "Möbel" and rejects == []


@pytest.mark.parametrize("kind", ["ndjson", "json", "csv"])
@pytest.mark.parametrize("damage", ["cut", "flipped"])
def test_damaged_gzip_keeps_what_was_read(tmp_path: Path, kind: str, damage: str) -> None:
    rows = [{"id": str(i), "hash": os.urandom(64).hex()} for i in range(20_000)]
    text = {
        "ndjson": "\n".join(map(json.dumps, rows)),
        "json": json.dumps(rows),
        "csv": "id,hash\n" + "\n".join(f"{row['id']},{row['hash']}" for row in rows),
    }[kind]
    data = bytearray(gzip.compress(text.encode()))
    if damage == "cut":
        del data[len(data) // 2 :]
    else:
        data[len(data) // 2 : len(data) // 2 + 4] = b"\xff\xff\xff\xff"
    products, rejects = read(written(tmp_path, f"a.{kind}.gz", bytes(data)))
    # A flipped byte may show only at the checksum, or after some rows of rubbish.
    assert rejects[-1].reason == "truncated_file"
    if damage == "cut":
        assert len(rejects) == 1 and 9_000 < len(products) < 11_000
        assert rejects[0].line == len(products) + (2 if kind == "csv" else 1)
        assert [p.source for p in products] == rows[: len(products)]


@pytest.mark.parametrize("kind", ["ndjson", "json", "csv", "csv-lines"])
def test_a_row_of_100_mb_is_passed_over(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"a.{kind[:4].strip('-') if kind != 'ndjson' else kind}"
    block = (b"x" * 999 + (b"\n" if kind == "csv-lines" else b",")) * 1_000
    before, opening, closing, after = {
        "ndjson": (b'{"id": 1, "t": ""}\n', b'{"id": 2, "t": "', b'"}\n', b'{"id": 3, "t": ""}\n'),
        "json": (b'[{"id": 1, "t": ""},', b'{"id": 2, "t": "', b'"},\n', b'{"id": 3, "t": ""}]'),
        "csv": (b"id,t\n1,a\n", b'2,"', b'"\n', b"3,b\n"),
        "csv-lines": (b"id,t\n1,a\n", b'2,"', b'"\n', b"3,b\n"),
    }[kind]
    with path.open("wb") as file:
        file.write(before + opening)
        for _ in range(100):
            file.write(block)
        file.write(closing + after)
    tracemalloc.start()
    try:
        products, rejects = read(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert [p.id for p in products] == ["1", "3"]
    assert reasons(rejects) == [(3 if kind.startswith("csv") else 2, "row_too_large")]
    assert rejects[0].row.startswith(opening.decode()) and len(rejects[0].row) <= MAX_REJECT_CHARS
    # csv.reader takes four bytes for every character of an open cell
    assert peak < (8 if kind == "csv-lines" else 3) * MAX_ROW_BYTES


READ_AND_MEASURE = """
import sys
from pathlib import Path
from hybrid.catalogue.reader import open_catalogue
from hybrid.contracts import Product
with open_catalogue(Path(sys.argv[1])) as catalogue:
    print(sum(isinstance(item, Product) for item in catalogue.rows(["id"])))
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from /proc")
@pytest.mark.parametrize("kind", ["ndjson", "json", "csv"])
def test_memory_is_flat(tmp_path: Path, kind: str) -> None:
    """200,000 rows take hardly more than 2,000: only the digests of the ids grow, some 70 bytes a row."""
    peaks = []
    for rows in (2_000, 200_000):
        path = tmp_path / f"{rows}.{kind}"
        with path.open("w") as file:
            file.write({"ndjson": "", "json": "[", "csv": "id,name,text\n"}[kind])
            for i in range(rows):
                if kind == "csv":
                    file.write(f'{i},"name {i}",{"text " * 20}\n')
                else:
                    file.write("," if kind == "json" and i else "")
                    file.write(f'{{"id": {i}, "name": "name {i}", "text": "{"text " * 20}"}}\n')
            file.write("]" if kind == "json" else "")
        output = subprocess.run(
            [sys.executable, "-c", READ_AND_MEASURE, str(path)], check=True, capture_output=True, text=True
        ).stdout.split()
        assert int(output[0]) == rows
        peaks.append(int(output[1]))
    assert peaks[1] - peaks[0] < 24 * 1024


WORDS = st.text(
    st.characters(codec="utf-8", exclude_categories=("Cs", "Cc"), include_characters="\n\r\t"), min_size=1, max_size=20
).filter(lambda text: text.strip() and text[0] + text[-1] not in ("[]", "{}"))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.tuples(WORDS, WORDS), min_size=1, max_size=8, unique_by=lambda row: row[0].strip()),
    st.booleans(),
)
def test_formats_agree(tmp_path: Path, rows: list[tuple[str, str]], ascii_only: bool) -> None:
    dicts = [{"id": f"x{key}", "name": name} for key, name in rows]
    sheet = io.StringIO()
    writer = csv.DictWriter(sheet, ["id", "name"], quoting=csv.QUOTE_ALL)
    writer.writeheader()
    writer.writerows(dicts)
    files = {
        "a.ndjson": "".join(json.dumps(row, ensure_ascii=ascii_only) + "\n" for row in dicts),
        "a.json": json.dumps(dicts, ensure_ascii=ascii_only),
        "a.csv": sheet.getvalue(),
    }
    for name, text in files.items():
        products, rejects = read(written(tmp_path, name, text))
        assert rejects == []
        assert [p.source for p in products] == dicts, name


def test_rejects_file(tmp_path: Path) -> None:
    path = tmp_path / "out" / "rejects.ndjson"
    with RejectsFile(path) as rejects:
        assert not path.parent.exists()
        rejects.add(Reject(3, "bad_json", "no", "é" * 5000))
        rejects.add(Reject(9, "bad_json", "no"))
        rejects.add(Reject(4, "missing_id", "none", "{}"))
    with RejectsFile(path) as again:
        again.add(Reject(5, "bad_id", "long", "{}"))
    assert rejects.counts == Counter(bad_json=2, missing_id=1)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert lines[0] == {"line": 3, "reason": "bad_json", "message": "no", "row": "é" * 2000}
    assert [line["line"] for line in lines] == [3, 9, 4, 5]


def test_no_rejects_no_file(tmp_path: Path) -> None:
    with RejectsFile(tmp_path / "rejects.ndjson") as rejects:
        assert rejects.counts == Counter()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "rows", "first"),
    [("chorus/products.ndjson.gz", 19_406, "3920564"), ("grocery/products.ndjson", 81, "0")],
)
def test_real_catalogues(name: str, rows: int, first: str) -> None:
    products, rejects = read(shared(name))
    assert (len(products), rejects, products[0].id) == (rows, [], first)
