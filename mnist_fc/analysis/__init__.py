"""Analysis: why a network answers as it does, how it reads the whole test set, and what goes wrong in a run.

To study a network, start with `attribution.py` (which pixels speak for a digit) and `survey.py` (the test set through it).
`probes.py` follows pinned drawings over a run. To study a run, start with `curves.py`, which smooths its records for charts.
`results.py` has its one test figure, `gradients.py` measures whether its gradients vanish (views/gradients.py words it), and
`diagnosis.py` finds faults and names remedies. `settings_check.py` notices that a loaded network needs other inputs or another
activation.

May import: data, network, config, records, files.
"""
