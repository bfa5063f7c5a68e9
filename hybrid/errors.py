"""The error tree. Every error of Hybrid is a HybridError; foreign ones are caught at their wall.

HybridError                  exit code 1, HTTP 500
├── UsageError               exit code 2, HTTP 400: the request itself is wrong
│   ├── CatalogueError       the file cannot be read as a catalogue at all
│   ├── MediaError           a picture cannot be opened as one
│   └── RefusedError         a drop-in request that must not reach the cluster (status and type of the cluster's)
├── AccountError             an admin account cannot be made, found or signed in to (HTTP 400)
├── EncoderError             a model cannot be had or fails
│   └── ModelVersionError    a trained model cannot be had or made
├── IndexConflictError       the index exists and is not what this run needs
├── IndexMissingError        no such index (HTTP 404)
├── IndexMovedError          the alias was moved to another index meanwhile, again and again (HTTP 503)
├── WriteBlockedError        the cluster refuses writes (disk watermark, read-only index)
├── ClusterError             the cluster answered with an error
│   ├── AccessRefusedError        a privilege is missing for that
│   ├── AlreadyExistsError        there is an index of that name (HTTP 409)
│   ├── DocumentMissingError      there is no document of that id (HTTP 404)
│   ├── VersionConflictError      somebody else wrote the document meanwhile (HTTP 409)
│   ├── InvalidRequestError       it does not take such a request
│   │   ├── InvalidNameError           the name cannot be an index's
│   │   └── MappingConflictError       the mapping cannot be, or not beside what the index has (HTTP 409)
│   ├── ClusterTimeoutError       it does not answer in time (HTTP 504)
│   └── ClusterUnreachableError   nobody answers at that address (HTTP 503)
├── NodeError                the embedded engine cannot be started or found
├── JobError                 a job ended without doing its work
├── OrderTakenError          work on that index is under way already (HTTP 409)
└── WeightsError             learned weights cannot be used, or were changed by somebody else (HTTP 409)

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
    """A trained model that cannot be had or made; search goes on without it."""


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


class AlreadyExistsError(ClusterError):
    """There is an index of that name already, e.g. since another process was faster."""

    http_status = 409


class DocumentMissingError(ClusterError):
    """There is no document of that id in the index."""

    http_status = 404


class VersionConflictError(ClusterError):
    """Somebody else wrote the document since it was read; read it again."""

    http_status = 409


class InvalidRequestError(ClusterError):
    """The cluster knows no such request, or an argument of it is wrong."""


class InvalidNameError(InvalidRequestError):
    """The cluster does not take the name for an index or an alias."""


class MappingConflictError(InvalidRequestError):
    """The cluster does not take a mapping, or not beside what the index maps already."""

    http_status = 409


class ClusterUnreachableError(ClusterError):
    http_status = 503


class ClusterTimeoutError(ClusterError):
    http_status = 504


class NodeError(HybridError):
    pass


class JobError(HybridError):
    pass


class WeightsError(HybridError):
    """Weights that cannot be used: broken, of another release, or changed by somebody else meanwhile."""

    http_status = 409
