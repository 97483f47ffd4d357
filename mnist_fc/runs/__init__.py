"""A run on disk: its folder, its metrics, its lock, its report and its TensorBoard file; and the store of all runs.

Start with `layout.py`, which names the files of a run's folder. `writer.py` appends records to it, `reader.py` reads it
back without trust, and `store.py` lists, bounds and deletes runs. `settings.py` says what a run was trained with,
and `results.py` what came of it: everything that names either takes it from there.

May import: network, analysis, config, records, files.
"""
