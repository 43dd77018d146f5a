"""Residual blocks that a checkpoint has and a lighter network has no place for."""

import re
from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

# of a ResNet "res3.0.", of a staged network "res3.blocks.0.", or with a name in place of the number
_BLOCK = re.compile(r"(?:^|\.)(res[2-5]|conv5)\.(?:blocks\.(\w+)|(\d+))\.")


class Block(NamedTuple):
    """A residual block: of f_r, or of a detector or a file; its stage; its number or name."""

    is_reid: bool
    stage: str
    name: str

    def __str__(self):
        return f"{'f_r ' * self.is_reid}{self.stage}.{self.name}"


def blocks_of(names: Iterable[str]) -> set[Block]:
    """The blocks that tensors of these names are in."""
    found = ((name.startswith("reid."), _BLOCK.search(name)) for name in names)
    return {Block(is_reid, match[1], match[2] or match[3]) for is_reid, match in found if match}


def surplus_blocks(own: Iterable[str], unexpected: Iterable[str]) -> list[Block]:
    """Blocks of a file, sorted, that a network's stage has not, but others.

    Args:
        own: names of the network's tensors.
        unexpected: names of a file's tensors that the network has no place for.
    """
    blocks = blocks_of(own)
    stages = {block[:2] for block in blocks}
    surplus = [block for block in blocks_of(unexpected) - blocks if block[:2] in stages]
    return sorted(surplus, key=lambda block: (*block[:2], len(block.name), block.name))


def taken_of_each_stage(own: Iterable[str], misfits: Iterable[str], surplus: list[Block]) -> str:
    """ "res2 3 of 3, res3 2 of 4": blocks that a network takes, of those that a file has.

    Args:
        own: names of the network's tensors.
        misfits: of these, what the file did not fill.
        surplus: see :func:`surplus_blocks`.
    """
    taken = Counter(b[:2] for b in blocks_of(own) - blocks_of(misfits))
    left_out = Counter(b[:2] for b in surplus)
    return ", ".join(
        f"{stage} {number} of {number + left_out[is_reid, stage]}"
        for (is_reid, stage), number in sorted(taken.items())
        if not is_reid
    )
