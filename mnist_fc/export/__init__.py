"""Export: a run's network as an ONNX file, and its settings as a standalone training script.

Start with `script.py.jinja`, the script as a template; `script.py` fills it in. `onnx.py` writes the network's graph.

May import: network, data, config, records, files.
"""
