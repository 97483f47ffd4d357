"""Training: `train(config, data)` is a generator that yields records, and nothing else here has effects.

Start with `engine.py`, the loop. `train_state.py` holds everything a run needs to resume bit for bit, `batches.py` the
images of each step, `evaluation.py` loss and accuracy over many images, `distributed.py` several processes under torchrun,
`throughput.py` images per second by threads and batch size, and `pacing.py` fewer threads beside a busy program.

May import: data, network, drawing, config, records, files.
"""
