"""The published definition of the metrics in plain loops, written to be read, not to be fast.

Frames are dicts: {"image_id", "query_only": bool, "gts": [(box, person_id)], "dets": [(box, score,
feature)]}, queries are dicts: {"image_id", "bbox" (for CBGM only), "person_id", "feature",
"gallery": None or a list of image ids}.
"""

import itertools

import numpy as np
from sklearn.metrics import average_precision_score


def iou(a, b):
    width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    intersection = width * height
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - intersection
    return intersection / union if union > 0 else 0.0


def listed_gallery(frames, query):
    """The image ids that the query is searched in, as often as they are listed."""
    if query["gallery"] is not None:
        return query["gallery"]
    return [
        frame["image_id"]
        for frame in frames
        if frame["image_id"] != query["image_id"] and not frame["query_only"]
    ]


def similarities_to(feature, frame, cws=False, dtype=np.float32):
    """The similarity of a feature to every detection of a frame, computed in ``dtype``."""
    feature = np.asarray(feature, dtype=dtype)
    dets = [np.asarray(det_feature, dtype=dtype) for _, _, det_feature in frame["dets"]]
    values = [dtype(np.dot(feature, det_feature)) for det_feature in dets]
    scores = [dtype(score) for _, score, _ in frame["dets"]]
    return [value * score if cws else value for value, score in zip(values, scores)]


def search_query(frames, query, cws=False, context=None, dtype=np.float32):
    """-> {"ap", "first_hit_rank", "num_gt", "num_tp"} of one query; ``context``: (k1, k2)."""
    by_image = {frame["image_id"]: frame for frame in frames}
    gallery = listed_gallery(frames, query)
    similarities = {i: similarities_to(query["feature"], by_image[i], cws, dtype) for i in gallery}
    if context:
        similarities = revise_by_context(by_image, query, similarities, cws, *context)
    y_true, y_score, num_gt, seen = [], [], 0, set()
    for image_id in gallery:
        frame = by_image[image_id]
        gt_boxes = [box for box, person_id in frame["gts"] if person_id == query["person_id"]]
        num_gt += 1 if gt_boxes else 0
        if image_id in seen:  # listed twice: the first is scored, both count as ground truth
            continue
        seen.add(image_id)
        values = similarities[image_id]
        order = sorted(range(len(values)), key=lambda i, values=values: -values[i])
        found = False
        for i in order:
            right = False
            if gt_boxes and not found:
                x0, y0, x1, y1 = gt_boxes[0]
                w, h = x1 - x0, y1 - y0
                threshold = min(0.5, w * h / ((w + 10) * (h + 10)))
                right = iou(gt_boxes[0], frame["dets"][i][0]) >= threshold
            found = found or right
            y_true.append(right)
            y_score.append(values[i])
    return _score(y_true, y_score, num_gt)


def revise_by_context(by_image, query, similarities, cws, k1, k2):
    """CBGM in its published steps, see context_matching.py; Kuhn-Munkres by trying all pairings."""
    own = [
        (score, feature)
        for box, score, feature in by_image[query["image_id"]]["dets"]
        if iou(box, query["bbox"]) <= 0.5
    ]
    around = sorted(own, key=lambda det: -det[0])[: k2 - 1]
    people = [query["feature"]] + [feature for _, feature in around]
    ranked = sorted(((v, i) for i, values in similarities.items() for v in values), reverse=True)
    revised = dict(similarities)
    for image_id in {image_id for _, image_id in ranked[:k1]}:
        frame = by_image[image_id]
        graph = [similarities_to(person, frame, cws) for person in people]
        pairs = best_pairing(graph)
        for row, column in pairs:
            if row == 0:
                revised[image_id] = list(similarities[image_id])
                revised[image_id][column] = max(graph[r][c] for r, c in pairs)
    return revised


def best_pairing(graph):
    """The pairs (row, column) of highest sum; all of the rows or all of the columns are paired."""
    size = min(len(graph), len(graph[0]))
    pairings = [
        list(zip(rows, columns))
        for rows in itertools.combinations(range(len(graph)), size)
        for columns in itertools.permutations(range(len(graph[0])), size)
    ]
    return max(pairings, key=lambda pairs: sum(float(graph[r][c]) for r, c in pairs))


def _score(y_true, y_score, num_gt):
    num_tp = sum(y_true)
    if num_tp == 0:
        return {"ap": 0.0, "first_hit_rank": None, "num_gt": num_gt, "num_tp": 0}
    ap = average_precision_score(y_true, y_score) * num_tp / num_gt
    # At equal similarity the wrong ones come first.
    ranked = sorted(zip(y_score, y_true), key=lambda pair: (-pair[0], pair[1]))
    first = [right for _, right in ranked].index(True) + 1
    return {"ap": ap, "first_hit_rank": first, "num_gt": num_gt, "num_tp": num_tp}


def mean_over_queries(results, skip_without_ground_truth):
    """-> {"mAP", "top1", "top5", "top10"} in percent; nothing over no query."""
    if skip_without_ground_truth:
        results = [r for r in results if r["num_gt"] > 0]
    n = len(results)
    if n == 0:
        return {}
    means = {"mAP": 100 * sum(r["ap"] for r in results) / n}
    for k in (1, 5, 10):
        hits = [r for r in results if r["first_hit_rank"] and r["first_hit_rank"] <= k]
        means[f"top{k}"] = 100 * len(hits) / n
    return means


def detection(frames, iou_thresh=0.5):
    """-> {"AP", "recall", "labelled_recall"} in percent."""
    y_true, y_score, num_gt, num_labelled, found_labelled = [], [], 0, 0, 0
    for frame in frames:
        boxes = [box for box, _ in frame["gts"]]
        dets = [box for box, _, _ in frame["dets"]]
        num_gt += len(boxes)
        num_labelled += sum(person_id >= 0 for _, person_id in frame["gts"])
        overlap = [[iou(gt, det) for det in dets] for gt in boxes]
        for j, (_, score, _) in enumerate(frame["dets"]):
            right = False
            if boxes:
                column = [row[j] for row in overlap]
                i = column.index(max(column))  # the ground truth that it overlaps best
                best_of_gt = overlap[i].index(max(overlap[i])) == j
                right = column[i] >= iou_thresh and best_of_gt
                found_labelled += right and frame["gts"][i][1] >= 0
            y_true.append(right)
            y_score.append(np.float32(score))
    metrics = {}
    if num_gt:
        recall = sum(y_true) / num_gt
        precision = average_precision_score(y_true, y_score) if any(y_true) else 0
        metrics.update(AP=100 * precision * recall, recall=100 * recall)
    if num_labelled:
        metrics["labelled_recall"] = 100 * found_labelled / num_labelled
    return metrics
