"""The error that a person reads when a drawing or a picture cannot be used."""


class DrawingError(ValueError):
    """A value that is not a drawing, or a file that is not a picture. The message says what is wrong with it."""
