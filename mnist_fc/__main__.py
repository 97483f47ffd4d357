"""The command line, `python -m mnist_fc`. Start reading in cli/."""

import sys

if not sys.flags.safe_path:
    # `python -m` puts the working folder first, where somebody's `queue.py` or `random.py` would hide that of Python.
    sys.path.append(sys.path.pop(0))

from mnist_fc.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
