"""What a web server does when too many come at once: python -m tests.measure.overload --index chorus

Starts `hybrid serve` against the cluster of the settings, and lets 8, 64 and 400 clients search at once. A refused
client waits as long as it is told to. Prints JSON: for each number of clients the admitted searches a second, their
p50 and p99, how many were answered by words alone or refused, the p99 of a refusal and of `/healthz`, and the memory.
The clients are another process, on the same machine.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import time
from statistics import quantiles
from typing import Any

import psutil

from hybrid.services import build_services
from tests.measure.serving import serving

WORDS = (
    "usb", "cable", "ink", "toner", "paper", "lamp", "mouse", "keyboard", "screen", "battery", "camera", "speaker",
    "case", "hub", "adapter", "printer",
)  # fmt: skip


async def request(port: int, path: str, connection: list[Any]) -> tuple[int, dict[str, str], bytes, float]:
    began = time.perf_counter()
    if not connection:
        connection[:] = await asyncio.open_connection("127.0.0.1", port)
    reader, writer = connection
    writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:] if line)}
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return int(head[0].split()[1]), headers, body, (time.perf_counter() - began) * 1000


async def client(port: int, index: str, ending: float, seen: dict[str, list[float]]) -> None:
    connection: list[Any] = []
    draw = random.Random()
    while time.monotonic() < ending:
        words = f"{draw.choice(WORDS)} {draw.choice(WORDS)} {draw.randrange(50)}"
        path = f"/api/search?index={index}&q={words.replace(' ', '+')}"
        try:
            status, headers, body, took_ms = await request(port, path, connection)
        except (OSError, asyncio.IncompleteReadError):
            seen["broken"].append(0.0)
            connection.clear()
            continue
        if status == 429:
            seen["refused"].append(took_ms)
            await asyncio.sleep(float(headers["retry-after"]))
        elif status == 200:
            seen["quick" if b'"busy"' in body else "full"].append(took_ms)
        else:
            seen["other"].append(float(status))


async def health(port: int, ending: float, seen: dict[str, list[float]]) -> None:
    connection: list[Any] = []
    while time.monotonic() < ending:
        _, _, _, took_ms = await request(port, "/healthz", connection)
        seen["health"].append(took_ms)
        await asyncio.sleep(0.05)


def p(values: list[float], percent: int) -> float | None:
    return round(quantiles(values, n=100)[percent - 1], 1) if len(values) > 1 else None


async def load(port: int, index: str, clients: int, seconds: float) -> dict[str, Any]:
    seen: dict[str, list[float]] = {kind: [] for kind in ("full", "quick", "refused", "other", "broken", "health")}
    ending = time.monotonic() + seconds
    await asyncio.gather(health(port, ending, seen), *(client(port, index, ending, seen) for _ in range(clients)))
    admitted = seen["full"] + seen["quick"]
    return {
        "clients": clients, "admitted_per_s": round(len(admitted) / seconds, 1), "p50_ms": p(admitted, 50),
        "p99_ms": p(admitted, 99), **{kind: len(times) for kind, times in seen.items() if kind != "health"},
        "refused_p99_ms": p(seen["refused"], 99), "health_p99_ms": p(seen["health"], 99),
        "health_max_ms": round(max(seen["health"]), 1),
    }  # fmt: skip


def memory_mb() -> int:
    """Memory of the web server, which is all that this process has started."""
    return sum(one.memory_info().rss for one in psutil.Process().children(recursive=True)) // 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--index", required=True)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--clients", default="8,64,400,8")
    options = parser.parse_args()
    with serving(build_services()) as port:
        asyncio.run(load(port, options.index, 2, 3))  # the models are loaded
        before = memory_mb()
        for clients in map(int, options.clients.split(",")):
            result = asyncio.run(load(port, options.index, clients, options.seconds))
            print(json.dumps({**result, "grown_mb": memory_mb() - before}), flush=True)


if __name__ == "__main__":
    sys.exit(main())
