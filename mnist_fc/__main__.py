"""The command line, `python -m mnist_fc`. Start reading in cli/."""

import os
import sys

# NumPy's matrix library starts a thread for each core when it is loaded, and interrupts the program where it may start none. The
# products of this program are PyTorch's.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

# PyTorch's own log repeats each failed attempt to reach another process with thirty lines of C++. The error at the end is enough.
os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "FATAL")

if not sys.flags.safe_path:
    # `python -m` puts the working folder first, where somebody's `queue.py` or `random.py` would hide that of Python.
    sys.path.append(sys.path.pop(0))

if __name__ == "__main__":
    from mnist_fc.garbage import not_collected

    with not_collected():  # looking for garbage among the imports would take a fifth of the time to the first answer
        from mnist_fc.cli.main import main

    sys.exit(main())
