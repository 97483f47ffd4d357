"""file_kinds.py: a file that is not data in the form wanted is named for what it is, and nothing in it runs."""

import bz2
import gzip
import io
import lzma
import pickle
import sqlite3
import struct
import tarfile
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mnist_fc.data.mnist import DataError, load_mnist
from tests.support.data import STEMS, WritesAFile, idx_bytes, noise, write_idx

PAGE = b"\n<!DOCTYPE html>\n<html><head><title>404</title></head><body>Not found</body></html>"


def saved(save: object, *args: object) -> bytes:
    """Return what `save(*args, file)` or `save(file, *args)` writes."""
    file = io.BytesIO()
    save(file, *args)  # type: ignore[operator]
    return file.getvalue()


def zipped(**members: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()


def tar() -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("train-images-idx3-ubyte"))
    return file.getvalue()


def safetensors() -> bytes:
    header = b'{"x_train":{"dtype":"U8","shape":[2,28,28],"data_offsets":[0,1568]}}'
    return struct.pack("<Q", len(header)) + header + bytes(1568)


def database() -> bytes:
    with sqlite3.connect(":memory:") as connection:
        connection.execute("create table digits (label)")
        content: bytes = connection.serialize()
    connection.close()
    return content


FILES = {
    "mnist.npz: a web page": (PAGE, "is a web page; download the file itself"),
    "mnist.pkl.gz": (gzip.compress(pickle.dumps([1, 2], 2)), "is a Python pickle, which could run code; it is not opened"),
    "mnist.pkl": (pickle.dumps(([1, 2], [3]), 0), "is a Python pickle"),
    "unnamed: pickle": (pickle.dumps({"data": [1]}, 4), "is a Python pickle"),
    "old: pickle": (pickle.dumps({"data": [1]}, 1), "is a Python pickle"),
    "older: pickle": (pickle.dumps((np.zeros(2), [3]), 0), "is a Python pickle"),
    "training.pt": (saved(lambda file: torch.save(torch.zeros(2), file)), "is a PyTorch file; it is not opened"),
    "mnist.csv": (b"label,pixel0,pixel1\n5,0,0\n", r"is a table of text \(CSV\); save its arrays as an .npz of x_train, y_train"),
    "mnist_train.csv.gz": (gzip.compress(b"5,0,0,128\n" * 500), r"is a table of text \(CSV\)"),
    "mnist-original.mat": (b"MATLAB 5.0 MAT-file, Platform: PCWIN64".ljust(124) + b"\0\1IM", "is a MATLAB file"),
    "v7.3.mat": (
        b"MATLAB 7.3 MAT-file, HDF5 schema 1.00".ljust(512) + b"\x89HDF\r\n\x1a\n",
        r"is a MATLAB file of version 7.3; .* \(h5py reads it\)",
    ),
    "train.parquet": (b"PAR1\x15\x04PAR1", "is a Parquet file"),
    "mnist.h5": (b"\x89HDF\r\n\x1a\n\0\0", "is an HDF5 file"),
    "x_train.npy": (saved(np.save, np.zeros((2, 28, 28))), r"is a single array \(.npy\); one .npz must hold x_train"),
    "archive.zip": (zipped(**{STEMS["x_train"]: b"\0\0\x08\3"}), "is a ZIP archive; unpack it and give the folder"),
    "mnist.tar": (tar(), "is a tar archive; unpack it"),
    "mnist.tar.gz": (gzip.compress(tar()), "is a tar archive; unpack it"),
    "mnist.bz2": (bz2.compress(b"ink"), "is a bzip2 archive"),
    "xnist.xz": (lzma.compress(b"ink"), "is an xz archive"),
    "mnist.npz.gz": (gzip.compress(zipped(**{"x_train.npy": b""})), "is a gzipped archive; unpack it with gzip -d first"),
    "digit.png": (saved(lambda file: Image.new("L", (28, 28)).save(file, "png")), "is a picture; pictures are not a data set"),
    "digit.jpg": (saved(lambda file: Image.new("L", (28, 28)).save(file, "jpeg")), "is a picture"),
    "digits.db": (database(), "is an SQLite database"),
    "mnist.json": (b'{"images": []}', "is JSON text; save its arrays"),
    "mnist.npz: JSON": (b'{"message": "Not Found"}', "is JSON text, as servers answer with; download the file again"),
    "mnist.safetensors": (safetensors(), "is a safetensors file; save its arrays"),
    "mnist.tfrecord": (struct.pack("<QI", 40, 0xDEADBEEF) + b"\n\x26\n\x24".ljust(44), "is a TFRecord file"),
    "mnist.tfrecord-00000-of-00001": (struct.pack("<QI", 40, 0) + bytes(44), "is a TFRecord file"),
    "mnist.rds": (gzip.compress(b"X\n\0\0\0\3\0\4\3\1"), "is an R file"),
    "mnist.RData": (gzip.compress(b"RDX3\nX\n\0\0\0\3"), "is an R file"),
    "data.mdb": (bytes(16) + b"\xde\xc0\xef\xbe\1" + bytes(4000), "is an LMDB database"),
    "excel.csv": ("label,pixel0,pixel1\n5,0,0\n".encode("utf-16"), r"is a table of text \(CSV\); .* reads it as utf-16"),
    "long.csv": ("5,0,128\n".encode("utf-16") + "5,0,128\n".encode("utf-16-le") * 500, r"is a table of text \(CSV\)"),
    "page.npz": (PAGE.decode().encode("utf-16"), "is a web page"),
    "random.bin": (b"\xff\xfe" + np.random.default_rng(0).bytes(4000), "is damaged or not an .npz file"),
    "twice.csv.gz": (gzip.compress(gzip.compress(b"5,0,0,128\n")), "is gzipped more than once; unpack it with gzip -d first"),
    "cut.npz.gz": (gzip.compress(bytes(2000))[:12], "is damaged; replace it with an intact copy"),
    "bodies.csv": (b"BMI,age,sex\n23.1,40,1\n", r"is a table of text \(CSV\)"),
    "powers.csv": (b"x^1,x^2,x^3\n1,1,1\n", r"is a table of text \(CSV\)"),
    "digit.avif": (saved(lambda file: Image.new("L", (28, 28)).save(file, "avif")), "is a picture"),
    "digit.ppm": (saved(lambda file: Image.new("L", (28, 28)).save(file, "ppm")), "is a picture"),
    "digit.webp": (saved(lambda file: Image.new("L", (28, 28)).save(file, "webp")), "is a picture"),
    "digit.bmp": (saved(lambda file: Image.new("L", (28, 28)).save(file, "bmp")), "is a picture"),
    "digit.tif": (saved(lambda file: Image.new("L", (28, 28)).save(file, "tiff")), "is a picture"),
    "readme.txt": (b"Handwritten digits\nby many people\n", "is a text file, not data; wanted is an .npz of x_train"),
    "mnist.npz: pointer": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "is a Git LFS pointer"),
    "nothing.npz": (b"", "is empty; copy or download it again"),
    "digits.bin": (idx_bytes(noise()["x_train"]), "is an IDX file; give the folder of all four, named as on the MNIST site"),
    "v4.mat": (struct.pack("<5i", 0, 300, 784, 0, 2) + b"X\0" + bytes(2000), r"is a MATLAB file; .* \(scipy.io.loadmat reads"),
    "octave.mat": (b"# Created by Octave 6.4.0\n# name: X\n# type: matrix\n", "is a MATLAB file"),
    "spaces.csv": (b"5 0 0 128\n3 0 0 12\n", r"is a table of text \(CSV\)"),
    "mnist.scale": (
        b"5 153:0.0117647 154:0.0705882 \n0 128:0.2\n",
        r"is a LIBSVM file; .* \(sklearn.datasets.load_svmlight_file",
    ),
    "mnist_784.arff": (b"% MNIST\n%\n@RELATION mnist_784\n@ATTRIBUTE pixel1 real\n", "is an ARFF file"),
    "digits.joblib": (zlib.compress(pickle.dumps([1, 2])), "is a Python pickle, which could run code"),
    "digits.feather": (b"FEA1" + bytes(100), "is a Feather file"),
    "data-00000-of-00001.arrow": (b"\xff\xff\xff\xff\x10\x01\0\0\x10\0\0\0" + bytes(100), "is an Arrow file"),
    "digits.avro": (b"Obj\x01\x04\x14avro.codec", "is an Avro file"),
    "digits.xls": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(100), "is an Office document"),
    "digits.ods": (zipped(mimetype=b"application/vnd.oasis.opendocument.spreadsheet"), "is an Office document"),
    "mnist.npz: XML": (
        b'<?xml version="1.0"?>\n<Error><Code>AccessDenied</Code></Error>',
        "is an XML document; download the file",
    ),
    "noise.bin": (bytes(range(256)), "is damaged or not an .npz file"),
}


@pytest.mark.parametrize("case", FILES)
def test_a_file_is_named_for_what_it_is(tmp_path: Path, case: str) -> None:
    content, said = FILES[case]
    path = tmp_path / case.partition(":")[0]
    path.write_bytes(content)
    with pytest.raises(DataError, match=rf"{path.name} {said}") as caught:
        load_mnist(path)
    assert all(len(part.split()) <= 20 for part in str(caught.value).split("; "))


@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzipped"])
def test_a_web_page_saved_as_data_is_named(tmp_path: Path, suffix: str, pack: object) -> None:
    write_idx(tmp_path, noise())
    (tmp_path / STEMS["y_train"]).unlink()
    (tmp_path / f"{STEMS['y_train']}{suffix}").write_bytes(pack(PAGE))  # type: ignore[operator]
    with pytest.raises(DataError, match=rf"{STEMS['y_train']}{suffix} is a web page; download the file itself"):
        load_mnist(tmp_path)


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzipped"])
def test_a_servers_answer_saved_as_data_is_named(tmp_path: Path, pack: object) -> None:
    write_idx(tmp_path, noise())
    (tmp_path / STEMS["y_train"]).write_bytes(pack(b'{"error": {"code": 404}}'))  # type: ignore[operator]
    with pytest.raises(DataError, match=rf"{STEMS['y_train']} is JSON text, as servers answer with; download the file again"):
        load_mnist(tmp_path)


def test_a_pickle_is_never_run(tmp_path: Path) -> None:
    hostile = pickle.dumps(WritesAFile(tmp_path / "ran"))
    for name, content in {"mnist.pkl": hostile, "mnist.pkl.gz": gzip.compress(hostile)}.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DataError, match="is a Python pickle"):
            load_mnist(tmp_path / name)
    assert not (tmp_path / "ran").exists()
