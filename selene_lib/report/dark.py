"""A figure for the dark scheme: white and black change places, colours stay what they are."""

from __future__ import annotations

import io

import numpy as np

GROUND = np.array([0x16, 0x18, 0x1B]) / 255  # of the page in the dark scheme, as in style.css
INK = 0.91


def dark_twin(png: bytes) -> bytes:
    """Return the same picture on dark ground, as PNG in 256 colours.

    A method keeps its colour in both schemes, so that text and legend need not know which one.
    """
    from PIL import Image

    with Image.open(io.BytesIO(png)) as opened:
        picture = opened if opened.mode == "P" else opened.convert("RGB").quantize(256)
        palette = np.array(picture.getpalette("RGB"), dtype=float).reshape(-1, 3) / 255
        picture.putpalette(np.round(255 * dark_colours(palette)).astype(np.uint8).tobytes())
        buffer = io.BytesIO()
        picture.save(buffer, format="png", optimize=True)
    return buffer.getvalue()


def dark_colours(colours: np.ndarray) -> np.ndarray:
    """Return the colours (n, 3), in [0, 1], as they look on dark ground.

    A colour is white, black and a pure hue mixed: the share of white becomes ground, that of black
    becomes ink, the hue stays. So a grey is turned over, and a tint is the same hue, as pale on
    dark ground as it was on white. A fill as light as yellow is dimmed, since text stands on it.
    """
    white = colours.min(axis=1, keepdims=True)
    hue = colours - white
    strength = hue.max(axis=1, keepdims=True) / np.maximum(1 - white, 1e-9)
    luminance = (colours**2.2) @ np.array([[0.2126], [0.7152], [0.0722]])
    hue *= 1 - 1.6 * np.clip(luminance - 0.5, 0, None)
    ink = ((1 - white) * (1 - strength)) ** 0.75  # quiet grey stays legible
    return GROUND + np.clip(hue + ink, 0, 1) * (INK - GROUND)
