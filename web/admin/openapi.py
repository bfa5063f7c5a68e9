"""The admin's own calls, for the interface description in web.api.openapi."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

#: Describes one call: its name, what it does, the model that it takes, the parameters in its path.
Called = Callable[..., dict[str, Any]]


def paths(called: Called) -> dict[str, Any]:
    """Path -> method -> description of all under /admin/api/."""
    index = {"name": "index", "in": "query", "schema": {"type": "string"}, "description": "its state, not all runs"}
    runs = called("adminRuns", "The newest runs, or the state of an index: its order, run, and what can be done now")
    page = called("adminFailures", "Failures grouped by reason, or with index and reason a page of them")
    letters = [{"name": name, "in": "query", "schema": {"type": "string"}} for name in ("index", "reason", "page")]
    return {
        "/admin/api/sign-in": {"post": called("adminSignIn", "A token for an account's name and password", "SignIn")},
        "/admin/api/runs": {"get": {**runs, "parameters": [index]}},
        "/admin/api/runs/{index}": {
            "post": called("adminRun", "Estimate, start, pause, end, swap in or roll back", "RunAction", ("index",))
        },
        "/admin/api/failures": {"get": {**page, "parameters": letters}},
        "/admin/api/failures/{index}/{do}": {
            "post": called("adminChangeFailures", "Retry or dismiss failures", "ChosenFailures", ("index", "do"))
        },
        **_trying(called),
        **_learning(called),
    }


def _trying(called: Called) -> dict[str, Any]:
    lists, at = "/admin/api/judgments", ("index", "name")
    upload = called(
        "adminImportJudgments", "Take judgments of a file, or a zip with judged photos, into a list", "", at
    )
    file = {"type": "string", "format": "binary"}
    taken = {"type": "object", "required": ["file"], "properties": {"file": file, "queries": file}}
    upload["requestBody"] = {"required": True, "content": {"multipart/form-data": {"schema": taken}}}
    export = called("adminExportJudgments", "A list as a file in one of the formats of evaluation", "", at)
    export["responses"]["200"]["content"] = {"application/octet-stream": {"schema": file}}
    photo = called(
        "adminJudgedPhoto", "A photo that judgments name, by the key that its ratings answer", "", ("photo",)
    )
    photo["responses"]["200"]["content"] = {"image/jpeg": {"schema": file}}
    return {
        "/admin/api/photos/{photo}": {"get": photo},
        "/admin/api/try": {"post": called("adminTry", "One search under two systems, and its candidates", "TryParams")},
        lists: {
            **_asked(
                called("adminJudgments", "Lists; queries of a list; ratings of words, a photo or both"), *_OF_JUDGMENTS
            ),
            "post": called("adminRate", "Keep a rating, or take it back", "Rating"),
        },
        f"{lists}/coverage": _asked(called("adminCoverage", "How much of today's hits is judged"), "index", "list"),
        f"{lists}/{{index}}/{{name}}": {"delete": called("adminForgetJudgments", "Delete a list", "", at)},
        f"{lists}/{{index}}/{{name}}/import": {"post": upload},
        f"{lists}/{{index}}/{{name}}/export": _asked(export, "format"),
    }


_OF_JUDGMENTS = ("index", "list", "q", "photo", "after")


def _asked(described: dict[str, Any], *names: str) -> dict[str, Any]:
    """A GET with parameters in its address."""
    queries = [{"name": name, "in": "query", "schema": {"type": "string"}} for name in names]
    return {"get": {**described, "parameters": [*described["parameters"], *queries]}}


def _learning(called: Called) -> dict[str, Any]:
    at, weights, runs = ("index",), "/admin/api/weights/{index}", "/admin/api/evaluations"
    of, models = ("index", "kind"), "/admin/api/models/{index}"
    compared = called("adminCompareWeights", "What version b changes on the held-out queries of a and b", "", at)
    changed = called("adminCompareEvaluations", "What run b changes against run a, by system")
    return {
        weights: _asked(called("adminWeights", "Versions of an index, and which is active", "", at), "page"),
        f"{weights}/order": {"get": called("adminLearning", "The newest training or evaluation of an index", "", at)},
        f"{weights}/compare": _asked(compared, "a", "b"),
        f"{weights}/{{version}}": {
            "get": called("adminVersion", "A version, its report, and its expected gain", "", ("index", "version"))
        },
        f"{weights}/train": {"post": called("adminTrain", "Order a training", "TrainParams", at)},
        f"{weights}/apply": {"post": called("adminApply", "Apply a version", "ApplyParams", at)},
        f"{weights}/rollback": {"post": called("adminRollback", "Roll back to the version before", "PointParams", at)},
        models: _asked(called("adminModels", "Versions of an index's models, and which are active", "", at), "kind"),
        f"{models}/{{kind}}/{{version}}": {
            "get": called("adminModel", "A version of a model, and its report", "", ("index", "kind", "version"))
        },
        f"{models}/{{kind}}/apply": {"post": called("adminApplyModel", "Apply a version", "ApplyParams", of)},
        f"{models}/{{kind}}/rollback": {"post": called("adminRollbackModel", "Roll back", "PointParams", of)},
        f"{models}/{{kind}}/remove": {"post": called("adminRemoveModel", "Delete a version", "VersionParams", of)},
        runs: {
            **_asked(called("adminEvaluations", "Kept evaluations, newest first"), "index", "list", "page"),
            "post": called("adminEvaluate", "Order an evaluation", "EvaluationParams"),
        },
        f"{runs}/compare": _asked(changed, "a", "b"),
        f"{runs}/{{run}}": {"get": called("adminEvaluation", "An evaluation with its queries", "", ("run",))},
    }
