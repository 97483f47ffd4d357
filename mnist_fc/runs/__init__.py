"""A run on disk: its folder, its metrics, its lock, its report and its TensorBoard file; and the store of all runs.

Start with `layout.py`, which names the files of a run's folder. `writer.py` appends records to it, `reader.py` reads it
back without trust, and `store.py` lists, bounds and deletes runs.

May import: network, analysis, config, records, files.
"""
