"""The network: a multilayer perceptron, its gradients, its optimizers, and the files that hold its weights.

Start with `mlp.py`. `backprop.py` computes one training step's gradients and `optimizer.py` applies them, both by `kernels.py`,
which has PyTorch's private interfaces and the public ways that replace them; `products.py` chooses the fastest matrix products
for the processor, and `schedule.py` gives the learning rate.
`checkpoint.py` reads and writes state dicts. `tensor_files.py` reads what torch.save and safetensors write, by
`torch_pickle.py`, which runs nothing in PyTorch's pickles, and `file_formats.py`, which names other files. `adaptation.py` turns
another program's state dict into ours.

May import: config, records, files.
"""
