"""Where conv5 stands in a network: in the re-id head, ``reid.head.conv5``.

It was the side-net's ``res5`` once. Checkpoints of that time get today's names when they are read;
a fingerprint goes on with the earlier ones, so that an index stays the network's own.
"""

import re


def current_name(name: str) -> str:
    """Today's name of a tensor, of any name that it has or had."""
    return re.sub(r"^reid\.(stages\.\d+\.)?side_net\.res5\.", r"reid.\1head.conv5.", name)


def earlier_name(name: str) -> str:
    """The reverse of :func:`current_name`."""
    return re.sub(r"^reid\.(stages\.\d+\.)?head\.conv5\.", r"reid.\1side_net.res5.", name)
