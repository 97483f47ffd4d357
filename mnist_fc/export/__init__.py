"""Export: a run's network as ONNX, and its whole training as one standalone script.

Start with `script.py`, which writes a script that needs nothing of this program. `onnx.py` writes the network's graph.

May import: network, data, config, records, files.
"""
