"""A job that ends with an error says so; its failures are told in a stated order, and none outlives its cause."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from hybrid.elastic.stores.dead_letters import DeadLetter
from hybrid.elastic.stores.jobs import Jobs
from hybrid.errors import ClusterUnreachableError, JobError
from hybrid.ingest import ingester
from hybrid.operations.attach import plan_attach, run_attach
from hybrid.services import Services
from tests.support.raw import client_of
from tests.support.shop_writer import make_shop


@pytest.mark.es
def test_a_job_that_fails_or_is_interrupted_is_marked(services: Services, name: str) -> None:
    for error, said in ((JobError("no way"), "no way"), (KeyboardInterrupt(), "KeyboardInterrupt")):
        job = services.jobs.start("index", name)
        with pytest.raises(type(error)), services.jobs.failing(job):
            raise error
        state = services.jobs.get(job)
        assert (state["status"], state["error"]) == ("failed", said)
    job = services.jobs.start("index", name)
    with services.jobs.failing(job, "cancelled"):
        pass
    assert services.jobs.get(job)["status"] == "running"


def test_the_error_outlives_a_cluster_that_is_gone(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def gone(*_: Any, **__: Any) -> None:
        raise ClusterUnreachableError("nobody answers")

    jobs = Jobs(None)  # type: ignore[arg-type]
    monkeypatch.setattr(jobs, "update", gone)
    with caplog.at_level(logging.WARNING), pytest.raises(JobError, match="no way"), jobs.failing("j1"):
        raise JobError("no way")
    assert "job j1 ended (no way), and could not be marked failed: nobody answers" in caplog.text


@pytest.mark.es
def test_letters_are_listed_newest_first_and_the_same_each_time(services: Services, name: str) -> None:
    for product in ("b", "a", "c"):
        letters = [DeadLetter(product, signal, "image_missing", "") for signal in ("video", "image")]
        services.dead_letters.add(name, "job", letters)
    letters = services.dead_letters.list(name, 5)
    order = [(letter["at"], letter["product"], letter["signal"]) for letter in letters]
    assert len(order) == 5
    for before, after in zip(order, order[1:], strict=False):
        assert before[0] > after[0] or before[1:] < after[1:]
    assert services.dead_letters.list(name, 5) == letters
    services.dead_letters.move(name, None)


@pytest.mark.es
def test_all_settled_letters_go_however_many_are_not(
    services: Services, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ingester, "_DEAD_LETTER_BATCH", 3)
    make_shop(client_of(services), name, [{"id": f"p{at}", "name": f"lamp {at}"} for at in range(10)])
    run_attach(services, plan_attach(services, name))
    client_of(services).update(index=name, id="p4", doc={"hybrid": {"meta": {"failed": ["text"]}}}, refresh=True)
    ids = [*(f"p{at}" for at in range(10)), "gone"]
    services.dead_letters.add(name, "job", [DeadLetter(id, "text", "bad_vector", "") for id in ids])
    services.ingester.drop_settled(services.searcher.profile(name))
    assert [letter["product"] for letter in services.dead_letters.list(name)] == ["p4"]
    services.dead_letters.move(name, None)
