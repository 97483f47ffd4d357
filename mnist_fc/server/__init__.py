"""The server's side of training: the queue of jobs, the processes that train, and what they may take of the machine.

Start with `scheduler.py`, which owns the queue and the processes. `worker.py` is the program that a training process
runs, `process.py` the server's end of its pipe, and `protocol.py` what passes through it. `job.py`, `run.py` and
`task.py` are what is queued; `status.py` says in a word what a run is at.

May import: sweep, reading, benchmark, training, export, runs, analysis, data, network, drawing, config, records, files.
"""
