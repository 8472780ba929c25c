"""What surrounds the subjects? The whole annotated frame, and the same place with the subjects painted away.

    upstream's loader     here                  made of
    foreground_image      Batch.foregrounds     the annotated frame, cropped to the clip's `crop_xyxy`
    background_image      Batch.backgrounds     Background/<part>/<clip key>.png

Upstream's loader gives the first with red and blue exchanged, and both at the size they have. Here both are RGB and come to
the size of the clip's frames as these do, so that a pixel is the same place in all three.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np

from opens2v_data.errors import DecodeError, MissingExtraError

try:
    from PIL import Image, UnidentifiedImageError
except ImportError as error:
    raise MissingExtraError(package="pillow", extra="video", needed_for="reading background plates") from error

if TYPE_CHECKING:
    from opens2v_loaders.sampling import Fit


def background_plate(data: bytes) -> np.ndarray:
    """Decode a background plate: `(H, W, 3) uint8 RGB`.

    Args:
        data: the file at a clip's `background_path`.

    Raises:
        DecodeError: it is no picture.
    """
    try:
        with Image.open(io.BytesIO(data)) as image:
            return np.asarray(image.convert("RGB"))
    except (UnidentifiedImageError, OSError) as error:
        raise DecodeError(f"expected a picture that Pillow reads, found {len(data)} other bytes: {error}") from error


def fitted(rgb: np.ndarray, fit: Fit) -> np.ndarray:
    """Bring a picture of the cropped clip to the size of its frames, as these are brought there.

    Args:
        rgb: `(H, W, 3) uint8`; a plate of another size than the clip's shows the same all the same.

    Returns:
        `(3, height, width) uint8`.
    """
    # A plate alone is read without torch.
    import torch

    from opens2v_loaders.resize import resize

    picture = torch.from_numpy(np.array(rgb)).permute(2, 0, 1)[None]
    left, top, right, bottom = fit.box_xyxy
    return resize(picture, fit.resize)[0, :, top:bottom, left:right].contiguous().numpy()
