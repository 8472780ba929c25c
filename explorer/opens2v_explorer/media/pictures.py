"""Pictures that browsers take: opened, made smaller, written as WebP."""

from __future__ import annotations

import io
import warnings

import numpy as np

from opens2v_data.errors import DecodeError, MissingExtraError

try:
    from PIL import Image
except ImportError as error:
    raise MissingExtraError(package="pillow", extra="explorer", needed_for="the explorer's pictures") from error

MAX_PIXELS = 64_000_000
"""Of a view or a plate: 60 times what upstream's have. A small file can claim to be a picture that fills the memory."""

_EFFORT = 2
"""Of the WebP encoder, 0 to 6."""


def opened(data: bytes) -> Image.Image:
    """Decode a picture file: RGB, or RGBA where it is transparent.

    Raises:
        DecodeError: it is no picture, cut off, or too large.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(data)) as image:
                if image.width * image.height > MAX_PIXELS:
                    raise DecodeError(
                        f"expected a picture of at most {MAX_PIXELS} pixels, found one of {image.width}x{image.height}"
                    )
                return image.convert("RGBA" if image.has_transparency_data else "RGB")
    # SyntaxError: Pillow's word for a PNG whose chunks are damaged.
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DecodeError(f"expected a picture that Pillow reads, found {len(data)} other bytes: {error}") from error


def narrowed(picture: Image.Image | np.ndarray, width: int | None) -> Image.Image:
    """Return a picture at most `width` pixels wide, its sides in proportion; a narrower one stays as it is.

    Args:
        picture: an image, or `(H, W, 3) uint8 RGB`.
        width: None: any.
    """
    image = Image.fromarray(picture) if isinstance(picture, np.ndarray) else picture
    if width is None or image.width <= width:
        return image
    height = max(1, round(image.height * width / image.width))
    return image.resize((width, height), Image.Resampling.LANCZOS, reducing_gap=2.0)


def webp(picture: Image.Image | np.ndarray, *, quality: int = 80) -> bytes:
    """Encode a picture."""
    image = Image.fromarray(picture) if isinstance(picture, np.ndarray) else picture
    file = io.BytesIO()
    image.save(file, "WEBP", quality=quality, method=_EFFORT)
    return file.getvalue()
