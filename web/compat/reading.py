"""What the views at /es read of a request: who sends it, and its body."""

from __future__ import annotations

import base64
import binascii
import hmac
import zlib
from collections.abc import Iterator

from werkzeug.wrappers import Request

from hybrid.errors import RefusedError
from web.services import SecretLike

#: The key of /es beside the credentials of the cluster.
KEY_HEADER = "X-Hybrid-Key"
#: Streams in a body of gzip: each one more costs a copy of what is left.
_MAX_STREAMS = 64


def has_key(request: Request, *keys: SecretLike | None) -> bool:
    """Whether a request shows one of the keys, as its client sends an API key, a token or a password.

    Each is compared, in a time that does not tell how much of it was right.
    """
    shown = [_bytes(request.headers.get(KEY_HEADER, "")), *_secrets(request.headers.get("Authorization", ""))]
    return bool(sum(_same(secret, key) for secret in shown for key in keys if key is not None))


def is_key(authorization: str, key: SecretLike) -> bool:
    """Whether the header `Authorization` holds the key."""
    return bool(sum(_same(secret, key) for secret in _secrets(authorization)))


def _same(secret: bytes, key: SecretLike) -> bool:
    expected = key.get_secret_value().encode()
    return bool(expected) and hmac.compare_digest(secret, expected)


def _secrets(authorization: str) -> Iterator[bytes]:
    """What the header may mean by the key: an API key as it is or as `id:key` in base64, a token, or a password."""
    scheme, _, sent = authorization.partition(" ")
    scheme, sent = scheme.lower(), sent.strip()
    if scheme in ("apikey", "bearer"):
        yield _bytes(sent)
    if scheme in ("apikey", "basic"):
        try:
            yield base64.b64decode(_bytes(sent), validate=True).partition(b":")[2]
        except binascii.Error:
            return


def _bytes(header: str) -> bytes:
    # WSGI hands a header's bytes over as latin-1, whatever they are.
    return header.encode("latin-1", "replace")


def body_of(request: Request, most: int) -> bytes:
    """The body, unpacked.

    Raises:
        RefusedError: it is packed in another way than gzip, cut short, or too long once it is unpacked.
    """
    data = request.get_data()
    encoding = request.headers.get("Content-Encoding", "")
    if not encoding or not data:
        return data
    if encoding != "gzip":
        raise RefusedError(f"Content-Encoding [{encoding}] is not supported", "media_type_header_exception", 415)
    # gzip may be several streams, one behind the other.
    parts: list[bytes] = []
    left = most
    while data:
        if len(parts) == _MAX_STREAMS:
            raise RefusedError(f"the body has more than [{_MAX_STREAMS}] gzip streams", "parse_exception")
        reader = zlib.decompressobj(wbits=31)
        try:
            parts.append(reader.decompress(data, left + 1))
        except zlib.error as error:
            raise RefusedError("the body is not gzip", "parse_exception") from error
        left -= len(parts[-1])
        if left < 0:
            raise RefusedError(f"the body is larger than [{most}] bytes", "content_too_long_exception", 413)
        if not reader.eof:
            raise RefusedError("the body is cut short: its gzip does not end", "parse_exception")
        data = reader.unused_data
    return b"".join(parts)
