"""The process that decodes untrusted files, started by hybrid.media.decoding, which it may not harm.

It runs by its path and imports nothing of Hybrid but the decoder beside it that its argument names. It knows no
settings and no keys, and is limited in memory and processor time. Bytes come in by a pipe; pixels or samples, or a
reason, go out by another.

On Linux with libseccomp it is sealed before the first file comes: the system takes those calls alone that decoding
needs, whatever code runs here. It can open no file and no socket, start no program, signal nobody, and make no memory
that holds code. It has no namespaces of its own besides: what they would hide cannot be reached without these calls,
and many containers and systems refuse them.

The first line out is {"spent", "unsealed"}: why it is not sealed, "" where it is. A request is a line of JSON and the
file's bytes, an answer is a line of JSON and what was decoded; each line comes after its length. {"do", "bytes": n,
"most"} is answered by {"sizes": [[width, height], ...], "parts": [bytes, ...], "at": [seconds, ...]} or by {"reason",
"message"}, either with "spent", the seconds of processor time of this process until then.
"""

from __future__ import annotations

import ctypes
import errno
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
#: Bytes of a thread's stack.
_STACK = 512 * 1024
#: Seconds of processor time for one file. The parent looks, too, for the timer here counts ticks of the system's clock
#: and may be late; but it also ends a child whose parent has gone.
CPU_S = 0.8

#: What decoding asks of the system: measured over all formats with strace, and what other versions of the libraries of
#: C and C++ ask in place of it. All of it is about this process alone, and about files that are open. Any other call
#: fails (EPERM), and need not be an attack: a library looks for a table of letters, or for the number of processors.
_TAKEN = (
    "read", "readv", "write", "writev", "close", "munmap", "mremap", "madvise", "brk",
    "futex", "sched_yield", "sched_getaffinity", "set_robust_list", "rseq", "sysinfo", "getrandom", "getpid", "gettid",
    "clock_gettime", "clock_getres", "gettimeofday", "time", "times", "getrusage", "setitimer",
    "rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "sigaltstack", "restart_syscall", "exit", "exit_group",
)  # fmt: skip
#: What no library of a decoder asks: whoever does has taken the process over, and gets no second try.
_FATAL = ("execve", "execveat", "fork", "vfork", "ptrace", "process_vm_readv", "process_vm_writev", "socket")

# Of <linux/prctl.h>, <seccomp.h>, <sys/mman.h> and <linux/sched.h>.
_PR_SET_NO_NEW_PRIVS = 38
_ALLOW, _KILL, _ERROR = 0x7FFF0000, 0x80000000, 0x00050000  # what is done; the last one with the number of an error
_MASKED_EQ = 7
_FOREIGN, _TSYNC = 2, 4  # attributes: calls of another kind of processor; all threads at once
_PROT_EXEC = 4
_CLONE_THREAD, _CLONE_NEW = 0x00010000, 0x7E020000  # a thread of this process; namespaces


def main() -> None:
    """Answer requests until the pipe ends."""
    _thin_threads()
    sys.path.append(str(Path(__file__).parent))
    decoder = importlib.import_module(sys.argv[1])
    decoder.prepare()
    inputs = os.fdopen(0, "rb", 1 << 16)
    outputs = os.fdopen(os.dup(1), "wb", 1 << 16)
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 1)
    library = _libseccomp()
    _limit(nothing + 1)
    os.dup2(nothing, 2)  # from here on only decoders write there, about files that are somebody else's
    unsealed = _seal(library)
    _send(outputs, {"spent": time.process_time(), "unsealed": unsealed})
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


def _thin_threads() -> None:
    """Give threads the stack that they have on macOS: all of it counts as memory, and that of glibc is 8 MiB.

    An iPhone's HEIC has tiles, which libheif decodes in several threads. Other libraries of C have small stacks anyway.
    """
    library, attributes = ctypes.CDLL(None), ctypes.create_string_buffer(256)
    if hasattr(library, "pthread_setattr_default_np"):
        library.pthread_attr_init(attributes)
        library.pthread_attr_setstacksize(attributes, ctypes.c_size_t(_STACK))
        library.pthread_setattr_default_np(attributes)
        library.pthread_attr_destroy(attributes)


class _Condition(ctypes.Structure):
    """Of an argument of a system call, by its place: its bits of mask are value."""

    _fields_ = (("place", ctypes.c_uint), ("how", ctypes.c_int), ("mask", ctypes.c_uint64), ("value", ctypes.c_uint64))


def _libseccomp() -> ctypes.CDLL | None:
    """By its name: to look for it, as ctypes.util does, would start other programs."""
    try:
        return ctypes.CDLL("libseccomp.so.2") if sys.platform == "linux" else None
    except OSError:
        return None


def _seal(library: ctypes.CDLL | None) -> str:
    """For good, and for all threads: no new privileges, and no system calls but those above. Why not, where it fails.

    The library knows the numbers of calls on this kind of processor; calls by the numbers of another kind are fatal.
    """
    if sys.platform != "linux":
        return f"{sys.platform} has no seccomp"
    if ctypes.CDLL(None).prctl(*map(ctypes.c_ulong, (_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))):
        return "the system refuses PR_SET_NO_NEW_PRIVS"
    if library is None:
        return "libseccomp is not installed"
    library.seccomp_init.restype = ctypes.c_void_p
    rules = ctypes.c_void_p(library.seccomp_init(ctypes.c_uint32(_ERROR | errno.EPERM)))
    if not rules:
        return "libseccomp makes no filter"

    def rule(action: int, name: str, *when: tuple[int, int, int]) -> None:
        """when: (place of an argument, mask, value) of each condition."""
        call = library.seccomp_syscall_resolve_name(name.encode())
        if call == -1:
            return  # not known to this version of the library, and so not allowed
        conditions = (_Condition * len(when))(*(_Condition(place, _MASKED_EQ, *bits) for place, *bits in when))
        problem = library.seccomp_rule_add_array(rules, ctypes.c_uint32(action), call, len(when), conditions)
        if problem:
            raise OSError(-problem, f"libseccomp makes no rule for {name}: {os.strerror(-problem)}")

    try:
        for name in _TAKEN:
            rule(_ALLOW, name)
        for name in _FATAL:
            rule(_KILL, name)
        for name in ("mmap", "mprotect"):
            rule(_ALLOW, name, (2, _PROT_EXEC, 0))
        # Threads, which some versions of FFmpeg and libheif start for each file. What clone3 is asked lies in memory,
        # where no filter looks: it is said to be missing, and libraries take clone.
        rule(_ALLOW, "clone", (0, _CLONE_THREAD | _CLONE_NEW, _CLONE_THREAD))
        rule(_KILL, "clone", (0, _CLONE_THREAD, 0))
        rule(_ERROR | errno.ENOSYS, "clone3")
        for attribute, value in ((_FOREIGN, _KILL), (_TSYNC, 1)):
            library.seccomp_attr_set(rules, attribute, ctypes.c_uint32(value))
        problem = library.seccomp_load(rules)
        return f"the system takes no filter: {os.strerror(-problem)}" if problem else ""
    except OSError as error:
        return str(error.strerror)
    finally:
        library.seccomp_release(rules)


if __name__ == "__main__":
    main()
