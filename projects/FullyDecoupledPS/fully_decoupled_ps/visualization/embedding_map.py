"""A map of embeddings in the plane: persons that are similar to the network lie close together."""

import numpy as np
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE

from ..errors import UserError
from ..utils.figures import new_axes, to_image
from .frame_boxes import person_style
from .labelled_features import LabelledFeatures

METHODS = ("tsne", "umap")
MAX_PERSONS = 20  # more can't be told apart by colour
MAX_BOXES = 40  # per person
PCA_DIMENSIONS = 50  # before t-SNE, as is usual: it takes noise and time away
LEAST_POINTS = 4
MARKERS = "osD^vP*X<>pH"  # one per camera


def choose_points(
    labelled: LabelledFeatures, max_persons: int = MAX_PERSONS, seed: int = 0
) -> LabelledFeatures:
    """The persons that have most boxes, and of each no more than MAX_BOXES, drawn with `seed`."""
    ids, counts = np.unique(labelled.person_ids, return_counts=True)
    rng = np.random.default_rng(seed)
    rows: list[int] = []
    for person_id in ids[np.argsort(-counts, kind="stable")[:max_persons]]:
        mine = np.flatnonzero(labelled.person_ids == person_id)
        rows.extend(rng.permutation(mine)[:MAX_BOXES])
    return labelled.take(np.sort(np.array(rows, dtype=np.int64)))


def project(features: np.ndarray, method: str = "tsne", seed: int = 0) -> np.ndarray:
    """(N, F) -> (N, 2).

    Raises:
        UserError: too few points, an unknown method, or one whose package is not installed.
    """
    if len(features) < LEAST_POINTS:
        raise UserError(
            f"{len(features)} embeddings are too few for a map; at least {LEAST_POINTS} are needed"
        )
    if method == "umap":
        try:
            from umap import UMAP
        except ImportError as error:
            raise UserError(
                "the method umap needs umap-learn: pip install umap-learn, or take tsne"
            ) from error
        neighbors = min(15, len(features) - 1)
        umap = UMAP(n_neighbors=neighbors, metric="cosine", random_state=seed)
        return umap.fit_transform(features)
    if method != "tsne":
        raise UserError(f"method '{method}' is unknown; take one of {', '.join(METHODS)}")
    dimensions = min(PCA_DIMENSIONS, *features.shape)
    reduced = PCA(dimensions, random_state=seed).fit_transform(features)
    perplexity = min(30.0, (len(features) - 1) / 3)
    return TSNE(perplexity=perplexity, init="pca", random_state=seed).fit_transform(reduced)


def draw_embedding_map(
    labelled: LabelledFeatures,
    title: str,
    *,
    method: str = "tsne",
    max_persons: int = MAX_PERSONS,
    seed: int = 0,
) -> np.ndarray:
    """(H, W, 3) uint8 RGB: one dot per box, its colour for the person, its shape for the camera."""
    points = choose_points(labelled, max_persons, seed)
    places = project(points.features, method, seed)
    figure, axes = new_axes(9, 7)
    cameras = sorted(set(points.cameras), key=lambda c: (c is None, c or 0))
    shape = {camera: MARKERS[i % len(MARKERS)] for i, camera in enumerate(cameras)}
    # by place among the ids, not by id: neighbouring places get colours that differ most
    places_of_ids = np.unique(points.person_ids, return_inverse=True)[1].reshape(-1)
    colors = np.array([person_style(i).color for i in places_of_ids]) / 255
    for camera in cameras:
        mine = np.array([c == camera for c in points.cameras])
        label = "unknown camera" if camera is None else f"camera {camera}"
        style = {"marker": shape[camera], "edgecolors": "white", "linewidths": 0.5}
        axes.scatter(*places[mine].T, s=38, c=colors[mine], label=label, **style)
    for person_id in np.unique(points.person_ids):
        x, y = np.median(places[points.person_ids == person_id], axis=0)
        box = {"facecolor": "white", "alpha": 0.6, "edgecolor": "none", "pad": 0.5}
        above = {"xytext": (0, 12), "textcoords": "offset points", "ha": "center"}
        axes.annotate(str(person_id), (x, y), fontsize=9, bbox=box, **above)
    axes.margins(0.06)
    name = {"tsne": "t-SNE", "umap": "UMAP"}[method]
    persons = len(np.unique(points.person_ids))
    axes.set_title(f"{title}\n{name} of {len(points)} boxes of {persons} persons, by id")
    axes.set_xticks([])
    axes.set_yticks([])
    if cameras != [None]:
        legend = figure.legend(loc="outside right upper", frameon=False)
        for handle in legend.legend_handles:
            handle.set_facecolor("0.4")
    return to_image(figure)
