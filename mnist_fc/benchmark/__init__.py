"""Benchmark: this engine beside other programs and beside the lower bound of its own operations, in one run.

Start with `epochs.py`. `peers.py` is a program of its own that trains with one other library.

May import: training, network, data, config, records, files.
"""
