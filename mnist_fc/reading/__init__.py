"""Reading: a drawing becomes a digit with its probabilities and runner-up, or "not a digit".

Start with `reader.py`, which also decides that a drawing is not a digit. `rejection.py` computes the score and has the
threshold for that decision. `doubt.py` doubts what is read in photographs. `evaluation.py` and `photo_evaluation.py` measure
how well the drawings and photographs of many writers are read.

May import: training, analysis, data, network, drawing, config, records, files.
"""

from mnist_fc.reading.reader import Reader, Reading

__all__ = ["Reader", "Reading"]
