"""Pictures of digits as HTML."""

import base64
import io

import numpy as np
from PIL import Image


def figure(image: np.ndarray | None, caption: str, label: str) -> str:
    """Return a picture with a caption as HTML; the caption may contain HTML."""
    return f"<figure>{picture(image, label)}<figcaption>{caption}</figcaption></figure>"


def picture(image: np.ndarray | None, label: str) -> str:
    """Return an image, float32 (H, W) in [0, 1], as an <img> that the browser enlarges without blur; None is a black one."""
    return f"<img class='pixels' alt='{label}' src='{data_url(image)}'>"


def data_url(image: np.ndarray | None) -> str:
    """Return an image, float32 (H, W) in [0, 1], as the address of a PNG picture; None is a black one of 28 by 28 pixels."""
    values = np.zeros((28, 28), np.uint8) if image is None else (image * 255).round().astype(np.uint8)
    png = io.BytesIO()
    Image.fromarray(values).save(png, "PNG")
    return f"data:image/png;base64,{base64.b64encode(png.getvalue()).decode()}"
