"""The command line, `python -m mnist_fc`. Start reading in cli/."""

import sys

from mnist_fc.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
