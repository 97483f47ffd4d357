"""Recognize files that are not checkpoints by their first bytes, and say what to do with them."""

import re
from collections.abc import Collection

from mnist_fc.file_kinds import common_kind

HEAD_BYTES = 512
"""The number of bytes at the start of a file that `describe` needs."""

SAVE_STATE_DICT = "save its state dict with torch.save(model.state_dict(), PATH)"
EXPORT_WEIGHTS = "save the weights as safetensors or with torch.save"
UNPACK = "unpack it and load the file inside"

USUAL_NAMES = ("model.ckpt", "model.safetensors", "pytorch_model.bin", "model.pt", "model.pth")
"""The checkpoint in a folder, from the one of this program."""

SIGNATURES: tuple[tuple[bytes, str, str], ...] = (
    (rb"(\xef\xbb\xbf)?\s*<(\?xml|svg)", "an XML document", "download the file itself"),
    (rb"\x89HDF\r\n\x1a\n", "an HDF5 file, as Keras writes (.h5)", EXPORT_WEIGHTS),
    (rb"\x93NUMPY", "a NumPy array (.npy)", EXPORT_WEIGHTS),
    (rb"MATLAB ", "a MATLAB file", EXPORT_WEIGHTS),
    (rb"(?s).{4}TFL3", "a TensorFlow Lite model", EXPORT_WEIGHTS),
    (rb"GGUF", "a GGUF model", EXPORT_WEIGHTS),
    # The first field of three kinds of models is a version. In ONNX the next is the producer's name or a later field; in the
    # others it is a message, which does not begin with a letter. A Core ML model's describes an input, beginning with its name.
    (rb"\x08[\x03-\x20](\x12[\x01-\x7f][\x20-\x7e]|[\x1a\x22\x28\x32\x3a\x42])", "an ONNX model", EXPORT_WEIGHTS),
    (
        rb"(?s)\x08([\x02-\x20]\x12|\x01\x12[\x80-\xff]*[\0-\x7f]\x0a[\x80-\xff]*[\0-\x7f]\x0a)",
        *("a Core ML model (.mlmodel)", EXPORT_WEIGHTS),
    ),
    (rb"\x08\x01\x12", "a TensorFlow SavedModel (.pb)", EXPORT_WEIGHTS),
    (rb"(?s)\x0a[\x01-\x7f]\x0a.[\x21-\x7e]+\x12.[A-Z]", "a TensorFlow graph (.pb)", EXPORT_WEIGHTS),
    (rb"\x89PNG|\xff\xd8\xff|GIF8|%PDF", "a picture or document", "a network is read from its checkpoint"),
    (rb"\x78[\x01\x5e\x9c\xda]", "compressed with zlib, as joblib does", EXPORT_WEIGHTS),
    (rb"\s*[{\[]", "a JSON text without weights", "load the checkpoint beside it"),
)
"""A pattern at the start of a file, what such a file is, and what to do, besides the kinds of `common_kind`."""


class FormatError(ValueError):
    """A file is not a checkpoint. The message follows the file's name: "is a web page; ...", or ": fc1 has weights ..."."""


def describe(head: bytes) -> str | None:
    """Return what a file with these first bytes is and what to do, as a predicate; None if that is not known."""
    if kind := common_kind(head):
        return f"is {kind[0]}; {kind[1]}"
    if re.match(rb"\x80[\x02-\x05]", head):
        by = "a scikit-learn model in a" if b"sklearn" in head else "a"
        return f"is {by} pickle that torch.save did not write; it is not loaded, because that could run code"
    for pattern, what, remedy in SIGNATURES:
        if re.match(pattern, head):
            return f"is {what}; {remedy}"
    if re.fullmatch(rb"[\t\n\r\x20-\x7e]+", head):
        return "is a text file; a network is read from its checkpoint"
    return None


def describe_folder(names: Collection[str]) -> str:
    """Return what a folder with these entries is and what to give in its place, as a predicate."""
    if "saved_model.pb" in names:
        return f"is the folder of a TensorFlow SavedModel; {EXPORT_WEIGHTS}"
    if ".metadata" in names:
        command = "python -m torch.distributed.checkpoint.format_utils dcp_to_torch FOLDER FILE"
        return f"is the folder of a distributed checkpoint; make one file of it with `{command}`"
    if "data.pkl" in names:
        return "is the folder of an unpacked checkpoint; use the file as torch.save wrote it"
    inside = next((name for name in USUAL_NAMES if name in names), None)
    return (
        f"is a folder; give the {inside} in it" if inside else "is a folder; give a checkpoint, such as the model.ckpt of a run"
    )


def describe_archive(names: Collection[str]) -> str | None:
    """Return what a zip archive with these entries is and what to do, as a predicate; None if torch.save may have written it."""
    ends = [name.rsplit("/", 1)[-1] for name in names]
    if "model.weights.h5" in ends:
        return f"is a Keras model (.keras); {EXPORT_WEIGHTS}"
    if names and all(name.endswith(".npy") for name in names):
        return f"is a NumPy archive (.npz); {EXPORT_WEIGHTS}"
    if "constants.pkl" in ends:
        return f"is a TorchScript model; {SAVE_STATE_DICT}"
    if any("/archive_format" in f"/{name}" or "/models/" in f"/{name}" for name in names):
        return f"is a program of torch.export (.pt2); {SAVE_STATE_DICT}"
    if "[Content_Types].xml" in names:
        return "is an Office document; a network is read from its checkpoint"
    if "data.pkl" not in ends:
        return f"is a zip archive; {UNPACK}"
    return None
