"""What pixels timm's published weights were trained with, and a config that says otherwise."""

import logging

logger = logging.getLogger(__name__)

# Of one channel, 0 to 255.
TOLERANCE = 0.5


def tell_other_pixels(cfg, name: str) -> None:
    """Warn of pixel statistics that are not those of timm's weights, which no file holds.

    Args:
        name: of a staged network that a training starts from; one that is not timm's is passed by.
    """
    kind, _, variant = name.partition(":")
    if kind != "timm":
        return
    try:
        import timm  # optional, as setup.py says
    except ImportError:  # said where the network is built
        return
    published = timm.get_pretrained_cfg(variant) if timm.is_model(variant) else None
    if published is None:
        return
    order = 1 if cfg.INPUT.FORMAT == "RGB" else -1
    keys = (("MODEL.PIXEL_MEAN", published.mean), ("MODEL.PIXEL_STD", published.std))
    wanted = [[round(255 * x, 3) for x in values[::order]] for _, values in keys]
    said = [list(cfg.MODEL.PIXEL_MEAN), list(cfg.MODEL.PIXEL_STD)]
    if any(abs(a - b) > TOLERANCE for x, y in zip(wanted, said) for a, b in zip(x, y, strict=True)):
        logger.warning(
            "timm's weights of %s were trained with %s %s and %s %s (INPUT.FORMAT %s), and the "
            "config says %s and %s; set these two, if you start from them",
            *(variant, keys[0][0], wanted[0], keys[1][0], wanted[1], cfg.INPUT.FORMAT, *said),
        )
