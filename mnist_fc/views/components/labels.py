"""Labels for the options of widgets, which Streamlit tells apart only by their labels."""

from collections import Counter
from collections.abc import Sequence

ORDINALS = ("first", "second", "third", *(f"{number}th" for number in range(4, 21)))


def distinct_digits(digits: Sequence[str]) -> list[str]:
    """Return distinct labels for at most 20 digits, such as "first 2", "0", "second 2"."""
    counts, seen = Counter(digits), Counter[str]()
    labels = []
    for digit in digits:
        labels.append(f"{ORDINALS[seen[digit]]} {digit}" if counts[digit] > 1 else digit)
        seen[digit] += 1
    return labels
