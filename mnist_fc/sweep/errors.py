"""The error of a storage or a study. It is apart from what raises it, which takes half a second to import."""


class SweepError(ValueError):
    """A storage that cannot be opened or used, or a study of another program. The message shows no password."""


# What Optuna raises when it reads values that it did not write.
DAMAGED = (ValueError, LookupError, TypeError, AttributeError, AssertionError, ArithmeticError, RuntimeError)
