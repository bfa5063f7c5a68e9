"""Files of judgments: the formats that are read, and those that are written."""

from __future__ import annotations

import csv
import io
import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import orjson

from hybrid.errors import UsageError
from hybrid.evaluation.judgments import JudgedQuery, Judgments
from hybrid.text.spreadsheets import guarded, unguarded

#: quepid: CSV. trec: qrels and a file of queries. rre: Rated Ranking Evaluator. ranklib: the format of the
#: Elasticsearch LTR plugin. beir: a folder. srw: OpenSearch's Search Relevance Workbench.
FORMATS = ("quepid", "trec", "rre", "ranklib", "beir", "srw")
#: The largest rating, either way.
MAX_RATING = 1_000_000
_COLUMNS = {
    "query": ("query", "query_text", "query text", "keywords", "search_query"),
    "image": ("image", "photo"),
    "docid": ("docid", "doc_id", "doc id", "document_id", "product_id", "id"),
    "rating": ("rating", "grade", "judgment", "judgement", "relevance"),
}
#: Files of the texts of queries that are named by number.
QUERY_FILES = ("queries.tsv", "topics.tsv", "queries.jsonl")


def read_judgments(path: Path, queries: Path | None = None) -> Judgments:
    """Judgments of any of the formats, told apart by their content.

    CSV has the columns query,docid,rating (or image, or both, for photos beside the file). TREC qrels and BEIR name
    queries by number: their texts are in `queries`, or in queries.tsv (id, tab, text), topics.tsv or queries.jsonl
    beside the file.

    Raises:
        UsageError: no such file, no known format, a rating that is no number, no judgment.
    """
    if path.is_dir():
        path = _beir_qrels(path)
    if not path.is_file():
        raise UsageError(f"no judgments file {path}")
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise UsageError(f"{path.name}, line {line}: not UTF-8 ({error.reason})") from error
    format, rows = _parse(text, path, queries)
    ratings: dict[str, dict[str, float]] = {}
    judged: dict[str, JudgedQuery] = {}
    try:
        for query, id, rating in rows:
            if not query.name or not id:
                raise UsageError(f"{path.name}: a judgment without a query or without a product")
            ratings.setdefault(query.name, {})[id] = rating
            if query != JudgedQuery(query.name):
                judged[query.name] = query
    except csv.Error as error:  # such as a cell that is too long
        raise UsageError(f"{path.name}: {error}") from error
    if not ratings:
        raise UsageError(f"{path.name}: no judgments in it")
    return _graded(ratings, judged, path.parent, format)


def _graded(
    ratings: dict[str, dict[str, float]], queries: dict[str, JudgedQuery], folder: Path, format: str
) -> Judgments:
    values = {value for rated in ratings.values() for value in rated.values()}
    grade: Callable[[float], float] | None = None
    note = ""
    if max(values) > 10:
        grade, note = (lambda value: math.log2(1 + max(0.0, value))), f"ratings up to {max(values):g} count as gains"
    elif max(values) <= 1 and any(0 < value < 1 for value in values):
        grade, note = (lambda value: 3 * value), "ratings from 0 to 1 count as parts of 3"
    if grade is None:
        return Judgments(ratings, folder, queries, format)
    graded = {name: {id: grade(value) for id, value in rated.items()} for name, rated in ratings.items()}
    return Judgments(graded, folder, queries, format, ratings, (note,))


Row = tuple[JudgedQuery, str, float]


def _parse(text: str, path: Path, queries: Path | None) -> tuple[str, Iterable[Row]]:
    lines = text.splitlines()
    first = next((line for line in lines if line.strip() and not line.startswith("#")), "")
    if text.lstrip()[:1] in ("{", "["):
        return _json(text, path)
    if "qid:" in first:
        return "ranklib", _ranklib(lines, path, queries)
    header = [name.strip().lower() for name in first.split("\t")]
    if header[:1] == ["query-id"]:
        numbered = ((line, cells[0], cells[1], cells[2]) for line, cells in _cells(lines[1:], path, 3, "\t", 2))
        return "beir", _numbered(numbered, path, queries)
    if "," not in first and len(first.split()) == 4:
        numbered = ((line, cells[0], cells[2], cells[3]) for line, cells in _cells(lines, path, 4, None, 1))
        return "trec", _numbered(numbered, path, queries)
    return "quepid", _csv(text, path)


def _rating(value: Any, where: str) -> float:
    try:
        rating = float(value)
    except (TypeError, ValueError):
        rating = math.nan
    if not abs(rating) <= MAX_RATING:  # nor what is no number
        raise UsageError(f"{where}: rating {str(value)[:80]!r}; ratings are numbers up to {MAX_RATING:,}")
    return rating


def _csv(text: str, path: Path) -> Iterator[Row]:
    first, _, rest = text.partition("\n")
    if first.strip().strip('"') in ("sep=;", "sep=,"):  # Excel's own line
        text, first = rest, rest.partition("\n")[0]
    delimiter = max("\t", ",", ";", key=first.count)
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter)
    columns = [name.strip().lower() for name in reader.fieldnames or ()]
    reader.fieldnames = columns
    named = {role: next((alias for alias in aliases if alias in columns), None) for role, aliases in _COLUMNS.items()}
    if not (named["docid"] and named["rating"] and (named["query"] or named["image"])):
        raise UsageError(
            f"{path.name}: columns query,docid,rating (or image,docid,rating) wanted, found {','.join(columns)[:200]}; "
            f"other formats: TREC qrels, RRE JSON, RankLib, BEIR, SRW JSON"
        )
    for row in reader:
        value = row[named["rating"]]
        if value in ("", None) and len(columns) > 3:
            continue  # Quepid exports what nobody has rated yet as well
        query, image = ((row[column] or "").strip() if (column := named[role]) else "" for role in ("query", "image"))
        where = f"{path.name}, line {reader.line_num}"
        query, id = unguarded(query), unguarded((row[named["docid"]] or "").strip())
        if not id or not (query or image):
            raise UsageError(f"{where}: a judgment without a query or without a product")
        if delimiter == ";" and isinstance(value, str):
            value = value.replace(",", ".")  # where that is the delimiter, a comma is before decimals
        yield JudgedQuery(query, image), id, _rating(value, where)


def _cells(
    lines: Iterable[str], path: Path, count: int, separator: str | None, start: int
) -> Iterator[tuple[int, list[str]]]:
    for number, line in enumerate(lines, start):
        if line.strip():
            cells = line.split(separator)
            if len(cells) != count:
                raise UsageError(f"{path.name}, line {number}: {len(cells)} columns where {count} are wanted")
            yield number, cells


def _numbered(rows: Iterable[tuple[int, str, str, str]], path: Path, queries: Path | None) -> Iterator[Row]:
    texts = _query_texts(path, queries)
    for number, query, id, rating in rows:
        if query not in texts:
            raise UsageError(f"{path.name}, line {number}: no text for query {query!r}")
        yield JudgedQuery(texts[query]), id.strip(), _rating(rating, f"{path.name}, line {number}")


def _query_texts(path: Path, queries: Path | None) -> dict[str, str]:
    """Query id -> text."""
    beside = [path.with_name(f"{path.stem}.{name}") for name in QUERY_FILES]
    beside += [folder / name for folder in (path.parent, path.parent.parent) for name in QUERY_FILES]
    texts_file = queries or next((file for file in beside if file.is_file()), None)
    if texts_file is None or not texts_file.is_file():
        raise UsageError(
            f"{path.name} names queries by number: {texts_file or 'queries.tsv'} is not there; give the file of their "
            f"texts (id, tab, text on each line) with --queries"
        )
    texts: dict[str, str] = {}
    try:
        for number, line in enumerate(texts_file.read_text("utf-8-sig").splitlines(), 1):
            if not line.strip():
                continue
            if line.lstrip().startswith("{"):
                row = orjson.loads(line)
                texts[str(row["_id"])] = str(row["text"]).strip()
                continue
            id, tab, text = line.partition("\t")
            if not tab:
                raise UsageError(f"{texts_file.name}, line {number}: id, tab, text wanted")
            texts[id.strip()] = text.strip()
    except (UnicodeDecodeError, orjson.JSONDecodeError, KeyError, TypeError) as error:
        raise UsageError(f"{texts_file.name}: not a file of queries ({error})") from error
    return texts


def _ranklib(lines: Iterable[str], path: Path, queries: Path | None) -> Iterator[Row]:
    """`3 qid:1 1:0.2 # docid`; texts in comments, `# qid:1: rambo`, or in a file of queries."""
    lines = list(lines)
    texts = {}
    for line in lines:
        head, _, text = line.lstrip("# \t").partition(":")
        query, _, text = text.partition(":")
        if line.startswith("#") and head.strip() == "qid" and text:
            texts[query.strip()] = text.split("*")[0].strip()  # "*1": the weight that the LTR tools may give a query
    if not texts:
        texts = _query_texts(path, queries)
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        where = f"{path.name}, line {number}"
        rated, _, comment = line.partition("#")
        cells, words = rated.split(), comment.split()
        if len(cells) < 2 or not cells[1].startswith("qid:") or not words:
            raise UsageError(f"{where}: 'rating qid:N features # docid' wanted")
        query = cells[1].removeprefix("qid:")
        if query not in texts:
            raise UsageError(f"{where}: no text for query {query!r}")
        yield JudgedQuery(texts[query]), words[0], _rating(cells[0], where)


def _json(text: str, path: Path) -> tuple[str, Iterable[Row]]:
    try:
        data = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise UsageError(f"{path.name}: not JSON ({error})") from error
    lists = data.get("judgmentRatings") if isinstance(data, dict) else None
    try:
        if lists is not None:
            return "srw", [
                (JudgedQuery(str(entry["query"]).strip()), str(rated["docId"]), _rating(rated["rating"], path.name))
                for entry in lists
                for rated in entry["ratings"]
            ]
        if isinstance(data, dict) and {"topics", "query_groups", "queries"} & set(data):
            return "rre", list(_rre(data, path))
    except (KeyError, TypeError, AttributeError) as error:
        raise UsageError(f"{path.name}: judgments in an unknown shape ({type(error).__name__}: {error})") from error
    raise UsageError(f"{path.name}: JSON with judgmentRatings (SRW) or topics and query_groups (RRE) wanted")


def _rre(data: Mapping[str, Any], path: Path) -> Iterator[Row]:
    """Topics hold groups of queries, groups hold queries that share their relevant documents; each may be left out."""
    groups = [*data.get("query_groups", ()), *([data] if "queries" in data else [])]
    for topic in data.get("topics", ()):
        groups += [*topic.get("query_groups", ()), *([topic] if "queries" in topic else [])]
    for group in groups:
        rated = list(_rre_documents(group.get("relevant_documents", {}), path))
        for query in group.get("queries", ()):
            placeholders = query.get("placeholders", {})
            text = placeholders.get("$query", next(iter(placeholders.values()), ""))
            for id, rating in rated:
                yield JudgedQuery(str(text).strip()), id, rating


def _rre_documents(documents: Any, path: Path) -> Iterator[tuple[str, float]]:
    """{gain: [ids]}, {id: {"gain": n}}, or a list of the latter."""
    for part in documents if isinstance(documents, list) else [documents]:
        for key, value in part.items():
            if isinstance(value, Mapping):
                yield str(key), _rating(value["gain"], path.name)
            else:
                for id in value:
                    yield str(id), _rating(key, path.name)


def _beir_qrels(folder: Path) -> Path:
    files = [folder / "qrels" / f"{part}.tsv" for part in ("test", "dev", "train")]
    files = [path for path in files if path.is_file()]
    if not files:
        raise UsageError(f"{folder} has no qrels/test.tsv, as a BEIR folder has")
    return files[0]


def write_judgments(judgments: Judgments, path: Path, format: str) -> list[Path]:
    """Write judgments in a format, and return the written paths, the judgments first.

    trec writes the queries beside it, as STEM.queries.tsv; beir makes a folder; quepid writes the photos that are in
    memory beside it.

    Raises:
        UsageError: no such format, photos in a format for words, ids that the format cannot hold, a file that
            cannot be written.
    """
    if format not in FORMATS:
        raise UsageError(f"no format {format!r}; formats: {', '.join(FORMATS)}")
    photos = any(judgments.query(name).image for name in judgments.ratings)
    if photos and format != "quepid":
        raise UsageError(f"judged photos cannot be written as {format}; use quepid (CSV)")
    ratings = judgments.original or judgments.ratings
    numbers = {name: str(number) for number, name in enumerate(ratings, 1)}
    if format in ("trec", "ranklib"):
        spaced = next((id for rated in ratings.values() for id in rated if not id or id.split() != [id]), None)
        if spaced is not None:
            raise UsageError(f"product id {spaced!r} has a space in it, which {format} cannot hold")
    lines = {"trec": _trec_lines, "ranklib": _ranklib_lines, "beir": _beir_lines}
    try:
        if format == "quepid":
            written = [write_whole(path, _csv_text(judgments, ratings, photos))]
            return written + [write_whole(path.parent / image, data) for image, data in judgments.photos.items()]
        if format == "srw":
            return [write_whole(path, _srw_text(ratings, path.stem))]
        if format == "rre":
            return [write_whole(path, _rre_text(ratings, path.stem))]
        whole = "".join(line + "\n" for line in lines[format](ratings, numbers))
        if format == "ranklib":
            return [write_whole(path, whole)]
        if format == "trec":
            return [write_whole(path, whole), write_queries(path.with_name(f"{path.stem}.queries.tsv"), numbers)]
        (path / "qrels").mkdir(parents=True, exist_ok=True)
        texts = "".join(orjson.dumps({"_id": number, "text": name}).decode() + "\n" for name, number in numbers.items())
        return [write_whole(path / "qrels" / "test.tsv", whole), write_whole(path / "queries.jsonl", texts)]
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from error


def write_queries(path: Path, numbers: Mapping[str, str]) -> Path:
    """The texts that qrels and runs name by number: id, tab, text."""
    return write_whole(path, "".join(f"{number}\t{' '.join(name.split())}\n" for name, number in numbers.items()))


def write_whole(path: Path, content: str | bytes) -> Path:
    """Write a file in one piece: nobody reads half a file, and the old file stays until the new one is complete."""
    part = path.with_name(path.name + ".part")
    part.write_bytes(content.encode() if isinstance(content, str) else content)
    os.replace(part, path)
    return path


Ratings = Mapping[str, Mapping[str, float]]


def _csv_text(judgments: Judgments, ratings: Ratings, photos: bool) -> str:
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["query", *(["image"] if photos else []), "docid", "rating"])
    for name, rated in ratings.items():
        query = judgments.query(name)
        cells = [guarded(query.text), *([query.image] if photos else [])]
        writer.writerows([*cells, guarded(id), f"{rating:g}"] for id, rating in rated.items())
    return out.getvalue()


def _trec_lines(ratings: Ratings, numbers: Mapping[str, str]) -> Iterator[str]:
    for name, rated in ratings.items():
        for id, rating in rated.items():
            yield f"{numbers[name]} 0 {id} {round(rating)}"  # trec_eval reads whole numbers alone


def _ranklib_lines(ratings: Ratings, numbers: Mapping[str, str]) -> Iterator[str]:
    for name in ratings:
        yield f"# qid:{numbers[name]}: {' '.join(name.split())}"
    for name, rated in ratings.items():
        for id, rating in rated.items():
            yield f"{rating:g}\tqid:{numbers[name]}\t# {id}"


def _beir_lines(ratings: Ratings, numbers: Mapping[str, str]) -> Iterator[str]:
    yield "query-id\tcorpus-id\tscore"
    for name, rated in ratings.items():
        for id, rating in rated.items():
            yield f"{numbers[name]}\t{id}\t{round(rating)}"


def _srw_text(ratings: Ratings, title: str) -> str:
    lists = [
        {"query": name, "ratings": [{"docId": id, "rating": f"{rating:.3f}"} for id, rating in rated.items()]}
        for name, rated in ratings.items()
    ]
    data = {"name": title, "description": "", "type": "IMPORT_JUDGMENT", "judgmentRatings": lists}
    return orjson.dumps(data, option=orjson.OPT_INDENT_2).decode()


def _rre_text(ratings: Ratings, title: str) -> str:
    groups = [
        {
            "name": name,
            "queries": [{"template": "query.json", "placeholders": {"$query": name}}],
            "relevant_documents": {id: {"gain": rating} for id, rating in rated.items()},
        }
        for name, rated in ratings.items()
    ]
    data = {"id_field": "id", "topics": [{"description": title, "query_groups": groups}]}
    return orjson.dumps(data, option=orjson.OPT_INDENT_2).decode()
