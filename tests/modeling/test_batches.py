"""What an image gives at inference does not depend on what stands beside it in a batch."""

import pytest
import torch

from tests.modeling import test_coat, test_coupled, test_variants
from tests.testing import image

BUILDERS = {
    **{name: lambda n=name: test_variants.build("reid", n) for name in test_variants.DETECTORS},
    "coupled_faster_rcnn": lambda: test_coupled.build("faster_rcnn"),
    "coat": lambda: test_coat.build("reid"),
}
# the first is the image that is compared: alone, and beside each of the others
SIZE, TALL, WIDE, BLANK = (64, 96), (200, 60), (64, 160), (64, 64)


def frame(seed, size=SIZE):
    height, width = size
    queries = torch.tensor([[4.0, 6.0, 60.0, 120.0]])
    frame = {"image": image(seed, size), "height": 2 * height, "width": 2 * width}
    return {**frame, "queries": queries}


@pytest.mark.parametrize("name", BUILDERS)
def test_an_image_is_the_same_beside_any_other(name):
    torch.manual_seed(0)
    model = BUILDERS[name]()[0].eval()
    (alone,) = model([frame(0)])
    found = alone["instances"]
    assert len(found) > 0
    batches = [
        [frame(0), frame(1, TALL)],
        [frame(1, WIDE), frame(2, TALL), frame(0)],
        [frame(1), frame(2, BLANK), frame(0), frame(3, WIDE)],
        [frame(1), frame(0), frame(2)],
    ]
    for batch in batches:
        place = next(i for i, x in enumerate(batch) if x["image"].equal(image(0, SIZE)))
        outputs = model(batch)
        sizes = [tuple(o["instances"].image_size) for o in outputs]
        assert sizes == [(x["height"], x["width"]) for x in batch]  # in the order given
        beside = outputs[place]["instances"]
        assert len(beside) == len(found)
        torch.testing.assert_close(beside.pred_boxes.tensor, found.pred_boxes.tensor)
        similarity = (beside.reid_features * found.reid_features).sum(dim=1)
        assert (similarity > 1 - 1e-4).all()
        similarity = (outputs[place]["query_features"] * alone["query_features"]).sum(dim=1)
        assert (similarity > 1 - 1e-4).all()


def test_images_of_one_size_share_a_batch(monkeypatch):
    model = BUILDERS["faster_rcnn_R50"]()[0].eval()
    batches = []
    search = model._search
    monkeypatch.setattr(model, "_search", lambda x: batches.append(len(x)) or search(x))
    model([frame(0), frame(1, TALL), frame(2), frame(3), frame(4, TALL)])
    assert batches == [3, 2]
    assert model([]) == []
