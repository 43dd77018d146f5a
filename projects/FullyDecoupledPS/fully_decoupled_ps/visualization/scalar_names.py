"""What the scalars of a training log are called in a chart's legend."""

import re

WORDS = {
    "total_loss": "all losses together",
    "loss_oim": "OIM (identity memory)",
    "loss_triplet": "triplet",
    "loss_cls": "person or not",
    "loss_box_reg": "position of the boxes",
    "loss_rpn_cls": "proposals: person or not",
    "loss_rpn_loc": "proposals: position",
    "loss_fcos_cls": "person or not",
    "loss_fcos_loc": "position of the boxes",
    "loss_fcos_ctr": "centre of the boxes",
    "memory/lookup_seen": "table of the labelled persons",
    "memory/queue_fill": "queue of the unlabelled persons",
}
# Detectron2's cascade counts its stages from 0; its ResNet calls conv3 of the paper res3.
STAGE = re.compile(r"(?P<base>.+)_stage(?P<stage>\d+)$")
ALPHA = re.compile(r"alpha/(?:res|conv)(?P<layer>\d+)$")


def scalar_words(name: str) -> str:
    """A scalar's name in words; of one that is not known its own, readable.

    >>> scalar_words("loss_cls_stage0"), scalar_words("alpha/res3"), scalar_words("loss_new_part")
    ('person or not, stage 1', 'after conv3', 'new part')
    """
    if name in WORDS:
        return WORDS[name]
    if match := STAGE.match(name):
        return f"{scalar_words(match['base'])}, stage {int(match['stage']) + 1}"
    if match := ALPHA.match(name):
        return f"after conv{match['layer']}"
    return name.rpartition("/")[2].removeprefix("loss_").replace("_", " ")
