"""The process that decodes untrusted files, started by hybrid.media.decoding, which it may not harm.

It runs by its path and imports nothing of Hybrid but the decoder beside it that its argument names. It knows no
settings and no keys, can open no file and no socket, and is limited in memory and processor time. Bytes come in by a
pipe; pixels or samples, or a reason, go out by another.

A request is a line of JSON and the file's bytes, an answer is a line of JSON and what was decoded; each line comes
after its length. {"do", "bytes": n, "most"} is answered by {"sizes": [[width, height], ...], "parts": [bytes, ...],
"at": [seconds, ...]} or by {"reason", "message"}, either with "spent", the seconds of processor time of this process
until then.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import signal
import struct
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

#: Bytes of data (heap, stacks, mapped memory of its own): with the some 12 MiB of libraries that are in memory too,
#: the whole process stays under 128 MiB.
MEMORY = 112 * 1024 * 1024
#: Seconds of processor time for one file. The parent looks, too, for the timer here counts ticks of the system's clock
#: and may be late; but it also ends a child whose parent has gone.
CPU_S = 0.8


def main() -> None:
    """Answer requests until the pipe ends."""
    sys.path.append(str(Path(__file__).parent))
    decoder = importlib.import_module(sys.argv[1])
    decoder.prepare()
    inputs = os.fdopen(0, "rb", 1 << 16)
    outputs = os.fdopen(os.dup(1), "wb", 1 << 16)
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 1)
    _limit(nothing + 1)
    _send(outputs, {"spent": time.process_time()})
    os.dup2(nothing, 2)  # from here on only decoders write there, about files that are somebody else's
    while head := inputs.read(4):
        request = json.loads(inputs.read(struct.unpack(">I", head)[0]))
        parts: list[bytes] = []
        try:
            data = inputs.read(request["bytes"])
            signal.setitimer(signal.ITIMER_PROF, CPU_S)
            sizes, parts, at = decoder.decode(data, request["do"], request["most"])
            answer: dict[str, Any] = {"sizes": sizes, "parts": [len(part) for part in parts], "at": at}
        except decoder.Refused as error:
            answer = {"reason": error.args[0], "message": error.args[1]}
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
        _send(outputs, {**answer, "spent": time.process_time()}, parts)


def _send(outputs: BinaryIO, answer: dict[str, Any], payload: Sequence[bytes] = ()) -> None:
    line = json.dumps(answer).encode()
    outputs.write(struct.pack(">I", len(line)) + line)
    for part in payload:
        outputs.write(part)
    outputs.flush()


def _limit(files: int) -> None:
    """For good. files: how many are open, and can be. macOS takes the limit of memory and does not keep to it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which ends us
    for kind, value in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NOFILE, files),
        (resource.RLIMIT_DATA, MEMORY),
    ):
        resource.setrlimit(kind, (value, value))


if __name__ == "__main__":
    main()
