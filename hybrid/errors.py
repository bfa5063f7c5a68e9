"""The error tree. Every error of Hybrid is a HybridError; foreign ones are caught at their wall.

HybridError                  exit code 1, HTTP 500
├── UsageError               exit code 2, HTTP 400: the request itself is wrong
│   ├── CatalogueError       the file cannot be read as a catalogue at all
│   ├── MediaError           a picture cannot be opened as one
│   └── RefusedError         a drop-in request that must not reach the cluster (status and type of the cluster's)
├── AccountError             an admin account cannot be made, found or signed in to (HTTP 400)
├── EncoderError             a model cannot be had or fails
│   └── ModelVersionError    a trained model is damaged, or cannot be kept
│       └── ModelMissingError     no such version of it (exit code 2, HTTP 404)
├── IndexConflictError       the index exists and is not what this run needs
├── IndexMissingError        no such index (HTTP 404)
├── IndexMovedError          the alias was moved to another index meanwhile, again and again (HTTP 503)
├── WriteBlockedError        the cluster refuses writes (disk watermark, read-only index)
├── ClusterError             the cluster answered with an error
│   ├── AccessRefusedError        a privilege is missing for that
│   ├── ClusterTimeoutError       it does not answer in time (HTTP 504)
│   └── ClusterUnreachableError   nobody answers at that address (HTTP 503)
├── NodeError                the embedded engine cannot be started or found
├── JobError                 a job ended without doing its work
├── OrderTakenError          work on that index is under way already (HTTP 409)
├── ModelConflictError       a version is active, or somebody else changed which one is (HTTP 409)
└── WeightsError             learned weights cannot be used (HTTP 409)

Messages are one line: what is wrong, then what to do next.
"""

from __future__ import annotations


class HybridError(Exception):
    """Base of all errors. `str(error)` is one line fit for a terminal."""

    exit_code = 1
    http_status = 500

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.split()))


class UsageError(HybridError):
    exit_code = 2
    http_status = 400


class CatalogueError(UsageError):
    pass


class MediaError(UsageError):
    """A picture that cannot be used. `reason` is one of the typed reasons of the failures list."""

    def __init__(self, message: str, reason: str = "image_unreadable") -> None:
        super().__init__(message)
        self.args = (*self.args, reason)
        self.reason = reason

    def __str__(self) -> str:
        return str(self.args[0])


class RefusedError(UsageError):
    """A request that the drop-in `_search` refuses. `kind` and `status` are those of Elasticsearch's own errors."""

    def __init__(self, message: str, kind: str = "illegal_argument_exception", status: int = 400) -> None:
        super().__init__(message)
        self.args = (*self.args, kind, status)
        self.kind = kind
        self.http_status = status

    def __str__(self) -> str:
        return str(self.args[0])


class OrderTakenError(HybridError):
    http_status = 409


class AccountError(HybridError):
    http_status = 400


class EncoderError(HybridError):
    http_status = 503


class ModelVersionError(EncoderError):
    """A trained model that is damaged, or cannot be kept; search goes on without it."""

    @classmethod
    def damaged(cls, kind: str, version: str, why: object) -> ModelVersionError:
        """The one message for a version whose numbers cannot be used."""
        said = " ".join(str(why).split())[:200]
        return cls(f"{kind} {version!r} is damaged ({said}); train another, or apply the version before")


class ModelMissingError(ModelVersionError):
    exit_code = 2
    http_status = 404


class IndexConflictError(HybridError):
    http_status = 409


class IndexMissingError(HybridError):
    http_status = 404


class IndexMovedError(HybridError):
    """What was asked of a name came from another index than the one it stood for. See hybrid.search.consistency."""

    http_status = 503


class WriteBlockedError(HybridError):
    http_status = 503


class ClusterError(HybridError):
    http_status = 502


class AccessRefusedError(ClusterError):
    pass


class ClusterUnreachableError(ClusterError):
    http_status = 503


class ClusterTimeoutError(ClusterError):
    http_status = 504


class NodeError(HybridError):
    pass


class JobError(HybridError):
    pass


class ModelConflictError(HybridError):
    """A version that is active where it must not be, or that somebody else made active meanwhile."""

    http_status = 409


class WeightsError(HybridError):
    """Weights that cannot be used: broken, or of another release."""

    http_status = 409
