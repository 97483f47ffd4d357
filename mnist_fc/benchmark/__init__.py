"""Benchmark: an epoch of this engine beside other programs and beside the lower bound of its own operations.

Start with `epochs.py`, which runs the benchmark. `peers.py` is a program of its own that trains with another library.

May import: training, network, data, config, records, files.
"""
