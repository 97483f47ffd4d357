"""Hyperparameter search: the space, the Optuna study, and where it is stored.

Start with `space.py`, which parses what to vary. `search.py` runs the trials, `study.py` reads what a study has found,
`figures.py` draws it, and `storage.py` opens its database.

May import: training, data, config, records, files.
"""
