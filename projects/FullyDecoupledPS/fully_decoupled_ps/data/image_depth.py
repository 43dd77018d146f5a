"""From what Pillow has decoded to RGB with 8 bits a sample, by one fixed rule for each depth.

The rule depends on the depth that the file states and never on its values, so that a thing looks
the same in every frame of a camera. Of samples with more than 8 bits the highest 8 are kept, which
is how Pillow reads colour pictures of 16 bits itself. Values that have no stated range (floating
point, signed) are refused: which of them is white nobody knows.
"""

import numpy as np
from PIL import Image

from ..errors import UserError

LITTLE_CONTRAST = (
    "uses less than a quarter of the range that its depth has, so it is read with little contrast "
    "(scale all pictures by one factor to the whole range)"
)

_TIFF_BITS, _TIFF_PHOTOMETRIC, _TIFF_PLANAR, _TIFF_SAMPLE_FORMAT = 258, 262, 284, 339
_WHITE_IS_ZERO, _PLANES, _UNSIGNED = 0, 2, 1
_ONE_SCALE = "save it with 8 or 16 bits a sample, all pictures with one scale from black to white"


class DepthError(UserError):
    """A picture whose samples can't be read as colours.

    Attributes:
        reason: in a few words.
        fix: what to do about it.
    """

    def __init__(self, reason: str, fix: str = _ONE_SCALE):
        self.reason, self.fix = reason, fix
        super().__init__(f"{reason}; {fix}")


def to_rgb(image: Image.Image) -> tuple[np.ndarray, str]:
    """
    Args:
        image: of any mode; decoded here if it is not yet.

    Returns:
        (H, W, 3) RGB uint8, writable, and LITTLE_CONTRAST or "".

    Raises:
        DepthError: if the range of its samples is not known, or Pillow decodes it wrongly.
    """
    if image.format == "TIFF" and _has_deep_planes(image):
        raise DepthError(
            "its 16-bit colours lie in planes of their own, which Pillow mixes up",
            "save it with the colours of a pixel side by side (PlanarConfiguration 1)",
        )
    if image.format == "TIFF" and set(image.tag_v2.get(_TIFF_SAMPLE_FORMAT, (1,))) - {_UNSIGNED, 4}:
        raise DepthError("its samples are signed or floating point, of unknown range")
    if image.mode != "F" and not image.mode.startswith("I"):
        return np.array(image.convert("RGB")), ""
    bits = _bits(image)
    samples = np.asarray(image)
    if samples.dtype == np.int32:
        samples = samples.view(np.uint32)
    if samples.size and int(samples.max()) - int(samples.min()) < 2**bits // 4:
        note = LITTLE_CONTRAST
    else:
        note = ""
    grey = (samples >> (bits - 8)).astype(np.uint8)
    if image.format == "TIFF" and image.tag_v2.get(_TIFF_PHOTOMETRIC) == _WHITE_IS_ZERO:
        grey = 255 - grey
    return np.repeat(grey[:, :, None], 3, axis=2), note


def _has_deep_planes(image: Image.Image) -> bool:
    bits = image.tag_v2.get(_TIFF_BITS, (1,))
    return len(bits) > 1 and max(bits) > 8 and image.tag_v2.get(_TIFF_PLANAR) == _PLANES


def _bits(image: Image.Image) -> int:
    """How many bits a grey sample has, by what the file states."""
    if image.format == "TIFF" and image.mode != "F":
        return image.tag_v2[_TIFF_BITS][0]
    # those of PGM, JPEG 2000 and HEIF are scaled to 16 bits when they are decoded
    if image.format in ("PNG", "PPM", "JPEG2000", "HEIF") and image.mode != "F":
        return 16
    raise DepthError(f"the range of its samples (Pillow's mode {image.mode}) is not known")
