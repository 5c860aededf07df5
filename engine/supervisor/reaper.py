"""The last process standing: kills what the supervisor started, should the supervisor be killed itself.

It reads `+GROUP` and `-GROUP` lines from the supervisor. When that pipe ends, however it ends, every group still
listed is killed with all its members: data workers, ranks, and whatever a method forked. Started by file name in
isolated mode, so it imports nothing of this package and cannot fail with it. POSIX only.
"""

import contextlib
import os
import signal
import sys


def main() -> None:
    """Keep the list until the pipe ends, then kill what is on it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    groups: set[int] = set()
    for line in sys.stdin:
        if line.startswith("+"):
            groups.add(int(line[1:]))
        elif line.startswith("-"):
            groups.discard(int(line[1:]))
    for group in groups:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(group, signal.SIGKILL)


if __name__ == "__main__":
    main()
