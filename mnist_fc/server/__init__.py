"""The server's side of training: the queue of jobs, the processes that train, and the limits on their resources.

Start with `scheduler.py`, what the page calls. Below it, `board.py` holds the slots and the queue under one lock, `queue.py`
decides who is next, and `dispatcher.py` starts jobs and handles the replies of processes. `job.py` has the states of a job;
`run.py` and `task.py` are the jobs. `process.py` and `worker.py` are the two ends of the pipe to a training process, and
`protocol.py` what passes through it.

May import: sweep, reading, benchmark, training, export, runs, analysis, data, network, drawing, config, records, files.
"""
