"""Analysis: why a network answers as it does, what it makes of the whole test set, and what went wrong in a run.

Start with `attribution.py` (which pixels speak for a digit) and `survey.py` (the test set through one network).
`probes.py` follows drawings over a run, `curves.py` thins records for charts, and `diagnosis.py` finds faults in a run
and names cures.

May import: network, config, records, files.
"""
