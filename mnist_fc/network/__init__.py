"""The network: a multilayer perceptron, its gradients, its optimizers, and the files that hold its weights.

Start with `mlp.py`. `backprop.py` computes one training step's gradients and `optimizer.py` applies them, both by `kernels.py`,
which has PyTorch's private interfaces and the public ways that replace them; `schedule.py` gives the learning rate.
`checkpoint.py` reads and writes state dicts, and
`torch_pickle.py` reads PyTorch's pickles without running anything in them.

May import: config, records, files.
"""
