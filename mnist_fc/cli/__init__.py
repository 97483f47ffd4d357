"""The command line: `python -m mnist_fc COMMAND`.

Start with `main.py`, which runs a command, and `parser.py`, which lists them. A command's file adds its own options and runs
it. `options.py` has what several commands share, and `console.py` alone knows the terminal.

May import: everything below server. It knows neither the page nor training processes.
"""
