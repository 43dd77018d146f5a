"""How similar boxes of the same and of different persons are: their histograms should lie apart."""

import numpy as np
from sklearn.metrics import roc_auc_score

from ..utils.figures import new_axes, to_image
from .labelled_features import LabelledFeatures

MAX_BOXES = 2000  # drawn; their pairs are two million
BINS = 80
SAME_CAMERA, OTHER_CAMERA = "same person, same camera", "same person, other camera"
SAME, DIFFERENT = "same person", "different persons"
COLORS = {SAME: "#0a7a4b", OTHER_CAMERA: "#0a7a4b", SAME_CAMERA: "#8fd0b0", DIFFERENT: "#d62728"}


def pair_similarities(labelled: LabelledFeatures, seed: int = 0) -> dict[str, np.ndarray]:
    """
    Cosine similarities of all pairs of boxes in different frames, by kind of pair: DIFFERENT, and
    SAME, or SAME_CAMERA and OTHER_CAMERA where all cameras are known. Kinds without a pair are
    left out; of more than MAX_BOXES boxes as many are drawn with `seed`.
    """
    if len(labelled) > MAX_BOXES:
        rows = np.random.default_rng(seed).choice(len(labelled), MAX_BOXES, replace=False)
        labelled = labelled.take(np.sort(rows))
    similarity = labelled.features @ labelled.features.T
    apart = np.triu(labelled.frames[:, None] != labelled.frames[None], 1)
    same = labelled.person_ids[:, None] == labelled.person_ids[None]
    kinds = {DIFFERENT: apart & ~same}
    if None in labelled.cameras or len(set(labelled.cameras)) < 2:
        kinds[SAME] = apart & same
    else:
        cameras = np.unique(np.array(labelled.cameras), return_inverse=True)[1].reshape(-1)
        one = cameras[:, None] == cameras[None]
        kinds[SAME_CAMERA] = apart & same & one
        kinds[OTHER_CAMERA] = apart & same & ~one
    return {kind: similarity[mask] for kind, mask in kinds.items() if mask.any()}


def separation(pairs: dict[str, np.ndarray]) -> float:
    """The share of (same, different) pairs of pairs in which the same person is more similar.

    That is the area under the ROC curve, in [0, 1]; NaN if one kind is missing.
    """
    same = [values for kind, values in pairs.items() if kind != DIFFERENT]
    if not same or DIFFERENT not in pairs:
        return float("nan")
    values = np.concatenate([*same, pairs[DIFFERENT]])
    truth = np.arange(len(values)) < len(values) - len(pairs[DIFFERENT])
    return float(roc_auc_score(truth, values))


def draw_similarity_histograms(
    labelled: LabelledFeatures, title: str, *, seed: int = 0
) -> np.ndarray:
    """(H, W, 3) uint8 RGB: one histogram per kind of pair, each of area 1, with its median."""
    pairs = pair_similarities(labelled, seed)
    figure, axes = new_axes(8, 4.5)
    lowest = min((values.min() for values in pairs.values()), default=-1.0)
    edges = np.linspace(min(lowest, 0.0), 1.0, BINS + 1)
    for kind, values in pairs.items():
        label = f"{kind}: {len(values):,} pairs, median {np.median(values):.2f}"
        style = {"density": True, "color": COLORS[kind]}
        clipped = values.clip(edges[0], edges[-1])
        axes.hist(clipped, edges, histtype="stepfilled", alpha=0.25, **style)
        axes.hist(clipped, edges, histtype="step", linewidth=1.6, label=label, **style)
        axes.axvline(np.median(values), color=COLORS[kind], linestyle=":", linewidth=1.2)
    area = separation(pairs)
    if not np.isnan(area):
        title += f"\na pair of the same person is the more similar one in {area:.1%} of cases"
    axes.set_title(title)
    axes.set_xlabel("cosine similarity")
    axes.set_ylabel("density")
    axes.set_yticks([])
    axes.set_xlim(edges[0], 1)
    figure.legend(loc="outside lower center", frameon=False)
    return to_image(figure)
