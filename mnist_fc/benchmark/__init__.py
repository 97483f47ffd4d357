"""Benchmark: this engine beside other programs and beside the lower bound of its own operations.

Start with `epochs.py`, which times an epoch of each program in turn. `programs.py` has those of this process. `peers.py` is a
program of its own that trains with another library, `peer_process.py` its process as seen from here, and `jax_scan.py` the
peer in pure JAX. `time_to.py` times whole trainings, `scaling.py` single steps of many sizes. `picture.py` draws the table, and
`machine.py` says what the figures belong to.

May import: training, network, data, config, records, files.
"""
