"""The error tree. Every error of Hybrid is a HybridError; foreign ones are caught at their wall.

HybridError                  exit code 1, HTTP 500
├── UsageError               exit code 2, HTTP 400: the request itself is wrong
│   ├── CatalogueError       the file cannot be read as a catalogue at all
│   ├── MediaError           a picture cannot be opened as one
│   ├── SynonymsError        a line of a synonym file cannot be read
│   └── RefusedError         a drop-in request that must not reach the cluster (status and type of the cluster's)
├── AccountError             an admin account cannot be made, found or signed in to (HTTP 400)
├── JudgmentsError           judgments are of products that the index does not have (HTTP 400)
├── EncoderError             a model cannot be had or fails
│   └── ModelVersionError    a trained model is damaged, or cannot be kept
│       └── ModelMissingError     no such version of it (exit code 2, HTTP 404)
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
│   ├── ClusterBusyError          it refuses for now, as it has too much to do (HTTP 503)
│   ├── ClusterTimeoutError       it does not answer in time (HTTP 504)
│   └── ClusterUnreachableError   nobody answers at that address (HTTP 503)
├── NodeError                the embedded engine cannot be started or found
├── MavenError                the embedded engine cannot be started or found
├── JobError                 a job ended without doing its work
│   ├── JobStateError            that cannot be done with it as it is (HTTP 409)
│   └── LeaseLostError           another process took over the work
├── OrderTakenError          work on that index is under way already (HTTP 409)
├── SynonymsConflictError    somebody else has changed the synonyms (HTTP 409)
├── ModelConflictError       a version is active, or somebody else changed which one is (HTTP 409)
└── WeightsError             learned weights cannot be used (HTTP 409)

Messages are one line: what is wrong, then what to do next.
"""

from __future__ import annotations


class HybridError(Exception):
    """Base of all errors. `str(error)` is one line fit for a terminal.

    Catch it to catch every error that Hybrid raises on purpose.

    >>> str(HybridError("there is no   such thing"))
    'there is no such thing'
    """

    exit_code = 1
    http_status = 500

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.split()))


# -- the request itself is wrong -------------------------------------------------------------------------------------


class UsageError(HybridError):
    """The request itself is wrong, and the same request will be wrong again.

    >>> from hybrid.search.stating import by_hand
    >>> by_hand({"x": 1.0}, None, ["lexical"])
    Traceback (most recent call last):
    hybrid.errors.UsageError: no signal 'x' to weigh; signals: lexical, text, text_zh, image, video, audio, fused, prior
    """

    exit_code = 2
    http_status = 400


class CatalogueError(UsageError):
    """A file cannot be read as a catalogue at all; a single bad row goes to the rejects file instead.

    >>> from pathlib import Path
    >>> from hybrid.catalogue.reader import open_catalogue
    >>> open_catalogue(Path("nowhere.csv"))
    Traceback (most recent call last):
    hybrid.errors.CatalogueError: nowhere.csv does not exist; check the path of the catalogue
    """


class MediaError(UsageError):
    """A picture, a video or a sound cannot be used. `reason` is one of the typed reasons of the failures list.

    >>> error = MediaError("photo.jpg has 90 million pixels, 50 at most", "image_too_large")
    >>> str(error), error.reason
    ('photo.jpg has 90 million pixels, 50 at most', 'image_too_large')
    """

    def __init__(self, message: str, reason: str = "image_unreadable") -> None:
        super().__init__(message)
        self.args = (*self.args, reason)
        self.reason = reason

    def __str__(self) -> str:
        return str(self.args[0])


class SynonymsError(UsageError):
    """A line of a synonym file cannot be read; nothing was changed.

    >>> from hybrid.text.synonyms import parse
    >>> parse("sofa, couch\\nsettee")
    Traceback (most recent call last):
    hybrid.errors.SynonymsError: synonyms, line 2: 'settee' stands alone; write `one, other` or `one => other`
    """


class RefusedError(UsageError):
    """The drop-in `_search` refuses a request. `kind` and `http_status` are those of Elasticsearch's own errors.

    >>> error = RefusedError("unknown key [queri] in a search body", "parsing_exception")
    >>> error.kind, error.http_status
    ('parsing_exception', 400)
    """

    def __init__(self, message: str, kind: str = "illegal_argument_exception", status: int = 400) -> None:
        super().__init__(message)
        self.args = (*self.args, kind, status)
        self.kind = kind
        self.http_status = status

    def __str__(self) -> str:
        return str(self.args[0])


class AccountError(HybridError):
    """An account of the admin page cannot be created, found or signed in to, e.g. for a password that is too short."""

    http_status = 400


class JudgmentsError(HybridError):
    """None of the judged products is in the index, e.g. since the file is of another shop: nothing can be measured.

    >>> from hybrid.evaluation.judgments import Judgments
    >>> Judgments({"lamp": {"p7": 3.0}}).of_index("shop", absent=["p7"])
    Traceback (most recent call last):
    hybrid.errors.JudgmentsError: none of the 1 judged products is in index 'shop' (p7); check the ids and the index
    """

    http_status = 400


# -- models ----------------------------------------------------------------------------------------------------------


class EncoderError(HybridError):
    """A model cannot be loaded or fails; a search leaves its signal out and names it in `degraded`.

    >>> from hybrid.searches import Degradation
    >>> error = EncoderError("the model file is gone; reinstall its package")
    >>> Degradation("image", str(error))
    Degradation(part='image', reason='the model file is gone; reinstall its package')
    """

    http_status = 503


class ModelVersionError(EncoderError):
    """A trained model is damaged, or cannot be kept; a search goes on without it."""

    @classmethod
    def damaged(cls, kind: str, version: str, why: object) -> ModelVersionError:
        """The one message for a version whose numbers cannot be used."""
        said = " ".join(str(why).split())[:200]
        return cls(f"{kind} {version!r} is damaged ({said}); train another, or apply the version before")


class ModelMissingError(ModelVersionError):
    """There is no such version of a trained model, e.g. since it was removed."""

    exit_code = 2
    http_status = 404


class SynonymsConflictError(HybridError):
    """Somebody else has changed the synonyms of the index meanwhile."""

    http_status = 409


class ModelConflictError(HybridError):
    """A version is active where it must not be, or somebody else changed meanwhile which one is."""

    http_status = 409


class WeightsError(HybridError):
    """Learned weights cannot be used: they are broken, or of another release.

    >>> from hybrid.search.weights import WeightsModel
    >>> WeightsModel.from_json({"version": "gate-1", "format": 1})
    Traceback (most recent call last):
    hybrid.errors.WeightsError: weights 'gate-1' were made by another release; train them again
    """

    http_status = 409


# -- the index -------------------------------------------------------------------------------------------------------


class IndexConflictError(HybridError):
    """The index exists and is not what this run needs, e.g. it was not made by Hybrid, or its vectors are of another
    encoder."""

    http_status = 409


class IndexMissingError(HybridError):
    """There is no index of that name, e.g. since it was never made: `hybrid index FILE --index NAME` makes one."""

    http_status = 404


class IndexMovedError(HybridError):
    """An alias was moved to another index while an answer was made, again and again; the same search can be repeated.
    See hybrid.search.consistency."""

    http_status = 503


# -- the cluster -----------------------------------------------------------------------------------------------------


class WriteBlockedError(HybridError):
    """The cluster refuses writes to an index, e.g. since its disk is full; what was written before stays."""

    http_status = 503


class ClusterError(HybridError):
    """The cluster answered, and its answer is an error.

    To tell a cluster that is away from one that refuses, catch the narrower class first:

    >>> def advice(error: ClusterError) -> str:
    ...     match error:
    ...         case ClusterUnreachableError() | ClusterTimeoutError():
    ...             return "try again later"
    ...         case AccessRefusedError():
    ...             return "ask for a privilege"
    ...         case _:
    ...             return "look at the cluster"
    >>> advice(ClusterTimeoutError("Elasticsearch did not answer in time"))
    'try again later'
    """

    http_status = 502


class AccessRefusedError(ClusterError):
    """The cluster knows who asks and refuses it: the user or the API key lacks a privilege."""


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
    """Nobody answers at the address of the cluster or of the broker; check HYBRID_ES_URL and HYBRID_REDIS_URL."""

    http_status = 503


class ClusterBusyError(ClusterError):
    """The cluster refuses the request for now, because it has too much to do."""

    http_status = 503


class ClusterTimeoutError(ClusterError):
    """The cluster does not answer within `es_timeout_s` seconds, e.g. since it is overloaded."""

    http_status = 504


# -- processes and work ----------------------------------------------------------------------------------------------


class NodeError(HybridError):
    """The embedded engine or broker cannot be started or found, e.g. since no Java is installed."""


class MavenError(HybridError):
    """Maven cannot fetch a file, e.g. since it is not installed. Whoever needs the file says what to do next."""


class JobError(HybridError):
    """A job ended without doing its work, e.g. since another process works on the same index."""


class JobStateError(JobError):
    """The job is in no state in which that can be done, e.g. it does not run and is to pause."""

    http_status = 409


class LeaseLostError(JobError):
    """Another process took over the work, so what this process knows of it may be wrong."""


class OrderTakenError(HybridError):
    """Work on that index is under way already; wait for its end, or cancel it."""

    http_status = 409
