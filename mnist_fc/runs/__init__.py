"""A run on disk: its folder, its metrics, its lock, its report and its TensorBoard file; and the store of all runs.

Start with `layout.py`, which names the files of a run's folder. `writer.py` appends records to it, `reader.py` reads it
back without trust, and `store.py` lists and deletes runs and keeps their total size below a limit.
`settings.py` says what a run was trained with.

May import: network, analysis, config, records, files.
"""
