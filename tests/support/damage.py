"""Files with wrong bytes in them."""

import random
from collections.abc import Callable

from mnist_fc.data.errors import DataError


def errors_of_damaged(content: bytes, read: Callable[[bytes], object]) -> list[str]:
    """Let `read` read 200 copies of `content` with one to four wrong bytes; return the messages of its DataErrors."""
    generator = random.Random(0)
    errors = []
    for _ in range(200):
        damaged = bytearray(content)
        for _ in range(generator.randint(1, 4)):
            damaged[generator.randrange(len(damaged))] = generator.randrange(256)
        try:
            read(bytes(damaged))
        except DataError as error:
            errors.append(str(error))
    return errors
