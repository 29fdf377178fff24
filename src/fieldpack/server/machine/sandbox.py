"""What a process gives up before it looks at a stranger's file: memory, time, files, the network, other processes.

All limits but those of memory and time come from Linux: Landlock (its uapi `landlock.h`) closes the file system and
TCP, a seccomp filter (`seccomp(2)`) the system calls that start programs, open sockets or reach other processes. Where
the kernel has neither the limits of memory, time and size hold alone.
"""

from __future__ import annotations

import ctypes
import os
import platform
import resource
import signal
import struct
import sys
from collections.abc import Iterable

__all__ = ["close_everything", "limit_resources"]

NOBODY = 65534
NICER = 10
_PR_SET_PDEATHSIG, _PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS, _SECCOMP_FILTER = 1, 22, 38, 2
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_VERSION_FLAG = 1
# rights on files that each version of Landlock knows (bits from the lowest), TCP from the 4th, signals from the 6th
_FILE_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}
_TCP_SINCE, _SCOPES_SINCE = 4, 6
_PATH_BENEATH, _MAY_READ = 1, 0b1100  # the kind of a rule; reading files and folders

# System calls that are refused, by machine: x86_64 (`asm/unistd_64.h`) and aarch64 (`asm-generic/unistd.h`).
_ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_REFUSED = {
    # execve execveat fork vfork socket socketpair connect bind listen accept accept4 kill tkill tgkill ptrace
    # process_vm_readv process_vm_writev unshare setns mount bpf keyctl add_key request_key io_uring_setup
    # perf_event_open userfaultfd pidfd_open pidfd_send_signal process_madvise
    "x86_64": (59, 322, 57, 58, 41, 53, 42, 49, 50, 43, 288, 62, 200, 234, 101, 310, 311, 272, 308, 165, 321, 250,
               248, 249, 425, 298, 323, 434, 424, 440),
    "aarch64": (221, 281, 198, 199, 203, 200, 201, 202, 242, 129, 130, 131, 117, 270, 271, 97, 268, 40, 280, 219,
                217, 218, 425, 241, 282, 434, 424, 440),
}  # fmt: skip
_CLONE = {"x86_64": 56, "aarch64": 220}
_CLONE3 = 435
_CLONE_THREAD = 0x00010000
_EPERM, _ENOSYS = 1, 38
_ALLOW, _ERRNO, _KILL = 0x7FFF0000, 0x00050000, 0x80000000


def limit_resources(memory_bytes: int, seconds: int, *, file_bytes: int = 0) -> None:
    """Limits that any Unix has: address space, time on the processor, files few and small, no core dumped.

    Args:
        memory_bytes: the most address space.
        seconds: the most time on the processor.
        file_bytes: the most that one file may become; 0: none is written.
    """
    os.nice(NICER)
    _limit(resource.RLIMIT_AS, memory_bytes)
    _limit(resource.RLIMIT_CPU, seconds)
    _limit(resource.RLIMIT_FSIZE, file_bytes)
    _limit(resource.RLIMIT_NOFILE, 64)
    _limit(resource.RLIMIT_CORE, 0)


def _limit(kind: int, most: int) -> None:
    """Set both limits, or the ones in force where those are lower already."""
    _, hard = resource.getrlimit(kind)
    most = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(kind, (most, most))


def close_everything(*, readable: Iterable[str] = (), workplace: str | None = None) -> list[str]:
    """Give up files, network and other processes, as far as this kernel lets us; what was given up.

    Call it once everything is imported: afterwards nothing can be opened any more but Python's own modules, of which
    libraries import some when they first need them; and not even these by who was root before.

    Args:
        readable: folders that may be read besides.
        workplace: a folder in which files may be made, read and removed. Who was root must have made it `nobody`'s.
    """
    done = []
    if os.geteuid() == 0:
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
        done.append("root")
    if platform.system() != "Linux":
        return done
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        return done
    if _close_files(libc, readable, workplace):
        done.append("files")
    if _filter_calls(libc):
        done.append("calls")
    return done


def _close_files(libc: ctypes.CDLL, readable: Iterable[str], workplace: str | None) -> bool:
    version = libc.syscall(_CREATE_RULESET, None, 0, _VERSION_FLAG)
    if version < 1:
        return False
    rights = (1 << _FILE_RIGHTS.get(version, _FILE_RIGHTS[5])) - 1
    tcp = 0b11 if version >= _TCP_SINCE else 0
    scopes = 0b11 if version >= _SCOPES_SINCE else 0
    handled = struct.pack("=QQQ", rights, tcp, scopes)
    size = 24 if scopes else 16 if tcp else 8
    ruleset = libc.syscall(_CREATE_RULESET, handled[:size], size, 0)
    if ruleset < 0:
        return False
    for path in (*sys.path, *readable):
        _let(libc, ruleset, path, _MAY_READ)
    if workplace is not None:
        _let(libc, ruleset, workplace, rights)
    done: bool = libc.syscall(_RESTRICT_SELF, ruleset, 0) == 0
    os.close(ruleset)
    return done


def _let(libc: ctypes.CDLL, ruleset: int, path: str, rights: int) -> None:
    try:
        folder = os.open(path, os.O_PATH | os.O_DIRECTORY)
    except OSError:  # not every path that modules may be on is there
        return
    libc.syscall(_ADD_RULE, ruleset, _PATH_BENEATH, struct.pack("=Qi", rights, folder), 0)
    os.close(folder)


class _Program(ctypes.Structure):
    """`struct sock_fprog`."""

    _fields_ = (("length", ctypes.c_ushort), ("code", ctypes.c_char_p))


def _filter_calls(libc: ctypes.CDLL) -> bool:
    machine = platform.machine()
    if machine not in _ARCHITECTURES:
        return False
    code = make_filter(machine)
    program = _Program(len(code) // 8, code)
    return bool(libc.prctl(_PR_SET_SECCOMP, _SECCOMP_FILTER, ctypes.byref(program), 0, 0) == 0)


def make_filter(machine: str) -> bytes:
    """The filter as a BPF program: instructions of `struct sock_filter`, over `struct seccomp_data`."""
    load, equal, at_least, any_bit, answer = 0x20, 0x15, 0x35, 0x45, 0x06
    number_at, architecture_at, first_argument_at = 0, 4, 16
    refused = _REFUSED[machine]
    steps: list[tuple[int, int, int, int]] = [
        (load, 0, 0, architecture_at),
        (equal, 1, 0, _ARCHITECTURES[machine]),
        (answer, 0, 0, _KILL),  # a call of another kind, whose numbers mean something else
        (load, 0, 0, number_at),
        (at_least, 0, 1, 0x40000000),
        (answer, 0, 0, _KILL),  # x32, the same
    ]
    for number in refused:
        steps += [(equal, 0, 1, number), (answer, 0, 0, _ERRNO | _EPERM)]
    steps += [
        (equal, 0, 1, _CLONE3),
        (answer, 0, 0, _ERRNO | _ENOSYS),  # its flags can't be seen from here; the C library then calls clone
        (equal, 0, 3, _CLONE[machine]),
        (load, 0, 0, first_argument_at),
        (any_bit, 1, 0, _CLONE_THREAD),  # decoders have threads; other processes they don't get
        (answer, 0, 0, _ERRNO | _EPERM),
        (answer, 0, 0, _ALLOW),
    ]
    return b"".join(struct.pack("=HBBI", *step) for step in steps)
