"""Full disks and dangerous pickles."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def files_no_larger_than(num_bytes: int) -> Iterator[None]:
    """Let this process write at most `num_bytes` to any file, as if the disk were full.

    Use it in a test's body, not in a fixture: pytest itself may write to a file before fixtures end.
    """
    import resource  # not on Windows

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


class WritesAFile:
    """An object whose pickle creates `path` when it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.path,)
