"""The client of a web process while its cluster does not answer: a socket that takes connections, and says nothing."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest
from elasticsearch import Elasticsearch

from hybrid.elastic.client import connect, translated
from hybrid.errors import ClusterError, ClusterTimeoutError, ClusterUnreachableError
from hybrid.settings import Settings


@pytest.fixture
def hung() -> Iterator[socket.socket]:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(64)
        yield silent


def client_of(hung: socket.socket, hasty: bool) -> Elasticsearch:
    url = f"http://127.0.0.1:{hung.getsockname()[1]}"
    return connect(Settings(es_url=url, es_timeout_s=0.2), url, hasty=hasty)


def search(client: Elasticsearch, timeout_s: float = 0.2) -> None:
    with translated():
        client.options(request_timeout=timeout_s, max_retries=0).search(index="shop")


def test_one_request_at_a_time_waits_for_a_cluster_that_does_not_answer(hung: socket.socket) -> None:
    client = client_of(hung, hasty=True)
    for _ in range(3):
        with pytest.raises(ClusterTimeoutError):
            search(client)
    outcome: list[ClusterError] = []

    def probe() -> None:
        try:
            search(client, 30)
        except ClusterError as error:
            outcome.append(error)

    asking = threading.Thread(target=probe)
    asking.start()
    connections = [hung.accept()[0] for _ in range(4)]  # the last is the one that asks
    for _ in range(50):
        with pytest.raises(ClusterUnreachableError, match="has not answered of late"):
            search(client, 30)
    connections[-1].sendall(
        b"HTTP/1.1 200 OK\r\nX-Elastic-Product: Elasticsearch\r\nContent-Type: application/json\r\n"
        b"Content-Length: 2\r\n\r\n{}"
    )
    asking.join(30)
    assert not outcome and not asking.is_alive()
    with pytest.raises(ClusterTimeoutError):  # it has answered, so it is waited for again
        search(client)
    for connection in connections:
        connection.close()


def test_a_run_waits_each_time(hung: socket.socket) -> None:
    client = client_of(hung, hasty=False)
    for _ in range(5):
        with pytest.raises(ClusterTimeoutError):
            search(client)
