"""The command line: `python -m mnist_fc COMMAND`.

Start with `parser.py`, which names every command and option. Each command has a file of its own; `options.py` turns
settings into options and back, and `console.py` is the only one that knows the terminal.

May import: everything below server; it knows no page and no training process.
"""
