"""Detections in crowds and other ignored regions, which are neither right nor wrong.

COCO's rule: a detection that matches no annotated person is not judged if its intersection with a
region, over its own area, reaches the threshold that the IoU with a person would have to reach.
"""

import numpy as np

from .frame_tables import Detections, GroundTruth, pair_iou, pair_share, pairs_of_same_frame
from .person_matches import search_iou_thresh

# Share of a detection in a region, from which on search leaves it out: the highest IoU it asks for.
SHARE_IN_REGION = 0.5


def lie_in_regions(detections: Detections, regions: GroundTruth, thresh: float) -> np.ndarray:
    """(D,) bool: whether a share of at least ``thresh`` of a detection lies in one region."""
    dets, rows = pairs_of_same_frame(detections, regions)
    shares = pair_share(detections.boxes[dets], regions.boxes[rows])
    mask = np.zeros(len(detections), dtype=bool)
    mask[dets[shares >= thresh]] = True
    return mask


def judged_in_search(
    detections: Detections, ground_truth: GroundTruth, regions: GroundTruth
) -> np.ndarray:
    """(D,) bool: false for detections that lie in a region and match no annotated person.

    A detection of an annotated person is judged whatever the query, since that person's identity is
    annotated, or known to be none of the labelled ones.
    """
    gt_rows, dets = pairs_of_same_frame(ground_truth, detections)
    iou = pair_iou(ground_truth.boxes[gt_rows], detections.boxes[dets])
    judged = ~lie_in_regions(detections, regions, SHARE_IN_REGION)
    judged[dets[iou >= search_iou_thresh(ground_truth.boxes)[gt_rows]]] = True
    return judged
