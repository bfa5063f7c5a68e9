"""What is read of every request, and what is told of every error."""

from __future__ import annotations

import io

import pytest
from werkzeug.http import parse_options_header

from hybrid.errors import (
    ClusterError,
    ClusterUnreachableError,
    EncoderError,
    IndexMissingError,
    NodeError,
    UsageError,
)
from web.requests import MAX_DEPTH, WholeForms, describe, read_json

WHERE = "http://10.1.2.3:9200"


@pytest.mark.parametrize(
    "text", ["[" * 5_000 + "]" * 5_000, "[" * 100_000, '{"a":' * 990 + "1" + "}" * 990, '"\ud800"']
)
def test_json_that_goes_too_deep_or_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        read_json(text.encode("utf-8", "surrogatepass"))


def test_json_within_the_limit_is_read_whatever_its_texts_hold() -> None:
    deep = "[" * MAX_DEPTH + "]" * MAX_DEPTH
    assert read_json(deep) == eval(deep)
    assert read_json(f'{{"q": "{"[" * 5_000}"}}') == {"q": "[" * 5_000}
    assert len(read_json(f"[{','.join(['[]'] * 5_000)}]")) == 5_000


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("multipart/form-data", b"--X\r\nContent-Disposition: form-data; name=q\r\n\r\na\r\n--X--\r\n"),
        ("multipart/form-data; boundary=\xff", b"--\xff--\r\n"),
        ("multipart/form-data; boundary=X", b"--X\r\nContent-Disposition: form-data; name=q\r\n\r\na"),
        ("multipart/form-data; boundary=X", b"no beginning"),
        ("multipart/form-data; boundary=X", b"--X\r\nContent-Type: text/plain\r\n\r\na\r\n--X--\r\n"),
        ("multipart/form-data; boundary=X", b"--X\r\nContent-Disposition: form-data\r\n\r\na\r\n--X--\r\n"),
        ("multipart/form-data; boundary=X", b"--X\r\nContent-Disposition: form-data; filename=a\r\n\r\na\r\n--X--\r\n"),
    ],
    ids=["no boundary", "odd boundary", "no end", "no beginning", "no disposition", "no name", "file without name"],
)
def test_a_broken_form_is_not_taken_for_an_empty_one(kind: str, body: bytes) -> None:
    mimetype, options = parse_options_header(kind)
    with pytest.raises(UsageError, match="not a valid form"):
        WholeForms().parse(io.BytesIO(body), mimetype, len(body), options)


def test_a_reason_is_short_whatever_it_quotes() -> None:
    assert len(describe(UsageError("x" * 300_000), "id", "GET")[2]) < 1_100


@pytest.mark.parametrize(
    "error",
    [
        ClusterUnreachableError(f"Elasticsearch does not answer ({WHERE}); check HYBRID_ES_URL"),
        ClusterError(f"{WHERE} said no; check HYBRID_ES_URL"),
        EncoderError(f"no model at {WHERE}: HYBRID_TEXT_ENCODER"),
        NodeError(f"no engine at {WHERE}: HYBRID_ES_URL"),
    ],
)
def test_shoppers_are_told_no_host_and_no_setting(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    status, kind, reason = describe(error, "id", "GET")
    assert status >= 500 and kind == type(error).__name__
    assert WHERE not in reason and "HYBRID" not in reason
    assert WHERE in caplog.text
    assert WHERE in describe(error, "id", "GET", private=True)[2]


@pytest.mark.parametrize("error", [UsageError("size: too large"), IndexMissingError("there is no index 'x'")])
def test_a_mistake_of_the_caller_is_told_in_full(error: Exception) -> None:
    assert describe(error, "id", "GET")[2] == str(error)
