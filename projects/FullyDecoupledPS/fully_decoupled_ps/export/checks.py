"""Comparing an exported graph with the network that it is of."""

import numpy as np
import torch

from ..errors import UserError
from .graphs import CropPath, ReIDPath

BOX_TOLERANCE = 0.05  # pixels
SCORE_TOLERANCE = 1e-3


def check_graph(graph, session, model, images: list[torch.Tensor]) -> tuple[float, int]:
    """
    Args:
        graph: what the session runs.
        session: an onnxruntime session.
        model: the network in PyTorch.
        images: (3, H, W), 0 to 255, of several sizes.

    Returns:
        tuple: the largest difference of a feature's component, and the number of boxes compared.

    Raises:
        UserError: if the two find different boxes, or there was nothing to compare.
    """
    if isinstance(graph, CropPath):
        results = [_check_crops(graph, session, model, image) for image in images]
    else:
        check = _check_reid_path if isinstance(graph, ReIDPath) else _check_whole_network
        results = [check(session, model, image) for image in images]
    num_boxes = sum(len(difference) for difference in results)
    if num_boxes == 0:
        raise UserError(
            "no person is found in the pictures of the check, so there is no feature to compare; "
            "name pictures with persons (--image)"
        )
    return float(np.concatenate(results).max()), num_boxes


def _check_reid_path(session, model, image) -> np.ndarray:
    """Largest difference for each of some boxes in the image and its mirror image; and no box."""
    images = torch.stack([image, image.flip(-1)])
    boxes = _some_boxes(image)
    image_indices = torch.tensor([1, 0, 0, 1, 1])

    def run(rows):
        feeds = {"images": images, "boxes": boxes[rows], "image_indices": image_indices[rows]}
        return session.run(None, {name: x.numpy() for name, x in feeds.items()})[0]

    features = run(slice(None))
    if run(slice(0, 0)).shape != (0, features.shape[1]):
        raise UserError("without boxes its output is not of shape (0, D)")
    expected = np.empty_like(features)
    for index, x in enumerate(images):
        rows = image_indices == index
        output = model([{"image": x, "queries": boxes[rows]}])[0]
        expected[rows] = output["query_features"].numpy()
    return np.abs(features - expected).max(axis=1)


def _some_boxes(image) -> torch.Tensor:
    height, width = image.shape[-2:]
    corners = torch.tensor([[0.1, 0.1], [0.3, 0.2], [0.5, 0.05], [0.6, 0.4], [0.2, 0.6]])
    sizes = torch.tensor([[0.2, 0.6], [0.1, 0.3], [0.4, 0.9], [0.05, 0.1], [0.1, 0.35]])
    boxes = torch.cat([corners, corners + sizes], dim=1)
    return boxes * torch.tensor([width, height, width, height])


def _check_crops(graph, session, model, image) -> np.ndarray:
    """Largest difference for each of some boxes, and for one of them alone."""
    boxes = _some_boxes(image)
    crops = graph.cut(image, boxes).numpy()
    expected = model([{"image": image, "queries": boxes}])[0]["query_features"].numpy()
    differences = [
        np.abs(session.run(None, {"crops": crops[:n]})[0] - expected[:n]) for n in (len(boxes), 1)
    ]
    return np.concatenate(differences).max(axis=1)


def _check_whole_network(session, model, image) -> np.ndarray:
    """Largest difference for each person found; a detector has none, and its boxes are compared."""
    boxes, scores, *features = session.run(None, {"image": image.numpy()})
    instances = model([{"image": image}])[0]["instances"]
    if len(boxes) != len(instances):
        raise UserError(f"{len(boxes)} persons are found where PyTorch finds {len(instances)}")
    if len(boxes) == 0:
        return np.zeros(0)
    # Equal scores may come in another order.
    distances = torch.cdist(instances.pred_boxes.tensor, torch.from_numpy(boxes), p=torch.inf)
    nearest = distances.argmin(dim=1).numpy()
    score_difference = np.abs(scores[nearest] - instances.scores.numpy()).max()
    if distances.min(dim=1).values.max() > BOX_TOLERANCE or score_difference > SCORE_TOLERANCE:
        raise UserError("boxes or scores differ from PyTorch's")
    if not features:
        return np.zeros(len(boxes))
    return np.abs(features[0][nearest] - instances.reid_features.numpy()).max(axis=1)
