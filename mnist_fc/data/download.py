"""Download the original MNIST files into the user's cache, where they are checked each time and never left half written."""

import http.client
import os
import tempfile
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

from mnist_fc.data.errors import DataError
from mnist_fc.files import reason

FAILURES = (OSError, RuntimeError, ValueError, http.client.HTTPException)
"""Errors of torchvision and urllib: no connection, a wrong checksum, a malformed address, an invalid HTTP response."""


def download_mnist(folder: str | Path | None = None) -> Path:
    """Download the four original files with torchvision and its progress bar; return the folder for `load_mnist`.

    `folder` defaults to the user's cache. Files there whose checksum is right are not downloaded again; others are replaced
    once the new ones are complete. Raises DataError if a download fails.
    """
    from torchvision.datasets import MNIST  # imported here: it takes two seconds, and nothing else needs it
    from torchvision.datasets.utils import check_integrity

    raw = (Path(folder) if folder else _cache()) / "MNIST" / "raw"
    try:
        raw.mkdir(parents=True, exist_ok=True)
        for name, md5 in MNIST.resources:
            if not check_integrity(str(raw / name), md5):
                _download(name, md5, raw, MNIST.mirrors)
            (raw / name).with_suffix("").unlink(missing_ok=True)  # unpacked by torchvision, perhaps only in part
    except OSError as error:
        raise DataError(f"MNIST cannot be kept in {raw}: {reason(error)}; set XDG_CACHE_HOME to another folder") from None
    return raw


def _cache() -> Path:
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mnist_fc"
    except RuntimeError:
        raise DataError("there is no home folder to keep MNIST in; set XDG_CACHE_HOME to a folder that you may write") from None


def _download(name: str, md5: str, raw: Path, mirrors: list[str]) -> None:
    """Download one file from the first mirror that has it, under another name until it is complete and checked."""
    from torchvision.datasets.utils import download_url

    why = "no mirror is known"
    with tempfile.TemporaryDirectory(prefix=".part-", dir=raw) as part:
        for mirror in mirrors:
            try:
                download_url(f"{mirror}{name}", part, name, md5)
            except FAILURES as error:
                # An answer came without the proxy.
                has_answer = isinstance(error, (urllib.error.HTTPError, RuntimeError))
                why = "SOCKS proxies are not supported" if _needs_socks(mirror) and not has_answer else _in_words(error)
            else:
                os.replace(Path(part) / name, raw / name)
                return
    proxy = "the proxy settings (https_proxy)" if urllib.request.getproxies() else "the connection"
    raise DataError(f"{name} could not be downloaded: {why}; check {proxy}, or give the files with --data")


def _needs_socks(address: str) -> bool:
    """Return whether a SOCKS proxy is set for an address; `all_proxy`, which urllib ignores, counts where no other is set."""
    proxies = urllib.request.getproxies()
    return proxies.get(urllib.parse.urlsplit(address).scheme, proxies.get("all", "")).lower().startswith("socks")


def _in_words(error: Exception) -> str:
    """Return why a download failed, in one line. A proxy's address is left out, since it may hold a password."""
    match error:
        case urllib.error.HTTPError(code=code):
            return f"the server answered {code} {http.client.responses.get(code, '')}".rstrip()
        case urllib.error.URLError(reason=OSError() as cause):
            return reason(cause)
        case http.client.InvalidURL() | urllib.error.URLError():
            return "an address in the proxy settings is malformed" if urllib.request.getproxies() else str(error)
        case http.client.HTTPException():
            return "the answer was not HTTP, or was cut off"
        case RecursionError():
            return "the server redirects too often"
        case RuntimeError():
            return "what arrived has a wrong checksum, so it was dropped"
        case OSError():
            return reason(error)
        case _:
            return "an address in the proxy settings is malformed"
