"""`hybrid` and scripts in processes that have imported it already: the pages of the documentation run some fifty.

Importing costs a command 1 to 12 seconds of processor time (torch, its optimisers, scikit-learn), which is most of what
it does on a small catalogue. Here it is forked from a process that has done so, with its own arguments, folder,
environment and streams. `serve`, `worker`, `up` and `demo` are not for this: they start processes themselves.

    python -m tests.support.forked SOCKET                       the process that is forked
    python -I tests/support/forked.py SOCKET hybrid search ...  a command
    python -I tests/support/forked.py SOCKET script.py
"""

from __future__ import annotations

import importlib
import json
import os
import runpy
import select
import socket
import sys
import traceback
from pathlib import Path

STREAMS = 3
#: What commands import, in so far as it starts no thread.
PRELOADED = ("hybrid.cli.main", "hybrid.services", "scipy.stats", "sklearn.linear_model", "torch._dynamo")


def serve(address: Path) -> None:
    """Answer until standard input ends, which is when the process that started this one does."""
    from hybrid.text import analysis

    for module in PRELOADED:
        importlib.import_module(module)
    analysis.query_terms("中文")  # reads the dictionary of Chinese words
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(address))
        listener.listen()
        print("ready", flush=True)
        while True:
            ready, _, _ = select.select([listener, sys.stdin], [], [])
            if sys.stdin in ready:
                return
            connection, _ = listener.accept()
            if os.fork() == 0:
                listener.close()
                if os.fork() == 0:  # of init: nobody here has to wait for it
                    _run(connection)
                os._exit(0)
            os.wait()
            connection.close()


def _run(connection: socket.socket) -> None:
    """The program that the connection tells of; its exit code is the answer, and no answer is a crash."""
    from hybrid.cli.main import main

    raw, streams, _, _ = socket.recv_fds(connection, 1 << 20, STREAMS)
    asked = json.loads(raw)
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    sys.stdin, sys.stdout, sys.stderr = (os.fdopen(number, "r" if number == 0 else "w") for number in range(STREAMS))
    os.chdir(asked["folder"])
    os.environ.clear()
    os.environ.update(asked["environment"])
    sys.argv = asked["arguments"]
    code = 0
    try:
        if sys.argv[0] == "hybrid":
            main()
        else:
            runpy.run_path(sys.argv[0], run_name="__main__")
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    connection.sendall(bytes([code]))
    os._exit(code)


def ask(address: str, arguments: list[str]) -> int:
    """Run a command; the exit code of it."""
    asked = {"arguments": arguments, "folder": os.getcwd(), "environment": dict(os.environ)}
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(address)
        socket.send_fds(connection, [json.dumps(asked).encode()], list(range(STREAMS)))
        code = connection.recv(1)
    return code[0] if code else 70


if __name__ == "__main__":
    if len(sys.argv) == 2:
        serve(Path(sys.argv[1]))
    else:
        sys.exit(ask(sys.argv[1], sys.argv[2:]))
