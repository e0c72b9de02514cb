"""Becomes another program that is told to end when its parent dies, whatever the parent dies of.

Run as a script: `python -I -S launch.py SIGNAL PARENT PROGRAM [ARGUMENT…]`. A script of its own, because asking in the
child between fork and exec (`preexec_fn`) is unsafe in a process with threads.
"""

import ctypes
import os
import sys

PR_SET_PDEATHSIG = 1  # linux/prctl.h


def main(argv: list[str]) -> None:
    """Ask the kernel for SIGNAL when the parent dies, see that it has not died already, and become PROGRAM."""
    signal_number, parent, program = int(argv[0]), int(argv[1]), argv[2:]
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal_number, 0, 0, 0)
        if os.getppid() != parent:
            sys.exit("launch: the parent was gone before the start")
    os.execvp(program[0], program)  # noqa: S606 - no shell on purpose


if __name__ == "__main__":
    main(sys.argv[1:])
