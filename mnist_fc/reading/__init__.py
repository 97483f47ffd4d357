"""Reading: an image becomes a digit, its probabilities and its runner-up, or "not a digit".

Start with `reader.py`. `rejection.py` holds the network with an eleventh class that tells digits from everything else,
and `evaluation.py` measures how well drawings of many writers are read.

May import: training, analysis, data, network, drawing, config, records, files.
"""

from mnist_fc.reading.reader import Reader, Reading

__all__ = ["Reader", "Reading"]
