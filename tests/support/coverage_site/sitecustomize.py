"""Save coverage twice a second in training processes, which the server ends by SIGKILL.

`tests/run all` puts this folder on PYTHONPATH, so that Python imports this file at the start of every process.
"""

import sys
import threading

INTERVAL_SECONDS = 0.5


def save_regularly() -> None:
    """Save what has been measured so far, until the process ends."""
    import coverage

    while True:
        if current := coverage.Coverage.current():
            current.save()
        threading.Event().wait(INTERVAL_SECONDS)


if sys.orig_argv[1:3] == ["-m", "mnist_fc.server.worker"]:
    threading.Thread(target=save_regularly, daemon=True).start()
