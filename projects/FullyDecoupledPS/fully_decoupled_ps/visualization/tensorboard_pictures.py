"""An evaluator that also draws pictures for TensorBoard (TEST.SEARCH.PICTURES)."""

import functools
import logging
import os
from collections.abc import Callable
from typing import Any

import numpy as np
from detectron2.config import CfgNode, configurable
from detectron2.data import DatasetCatalog
from detectron2.utils.events import EventStorage, get_event_storage

from ..errors import UserError
from ..evaluation import PersonSearchEvaluator
from ..evaluation.predictions import Predictions
from ..evaluation.query_results import load_queries
from .embedding_map import draw_embedding_map
from .frame_pictures import BoxNoise, draw_box_noise, draw_detections
from .labelled_features import labelled_features
from .similarity_histograms import draw_similarity_histograms
from .worst_queries import draw_worst_queries

logger = logging.getLogger(__name__)


class EvaluatorWithPictures(PersonSearchEvaluator):
    """
    During training the pictures go where the training's scalars go, with its iteration; else into
    an event file in the evaluation's output folder.
    """

    @configurable
    def __init__(
        self,
        dataset_name: str,
        *,
        output_dir: str,
        box_noise: BoxNoise | None = None,
        train_set: str | None = None,
        **options: Any,
    ):
        """
        Args:
            box_noise: SnA, to be drawn on frames of `train_set` in training; None where re-id is
                not trained.
            options: as in :class:`PersonSearchEvaluator`.
        """
        super().__init__(dataset_name, output_dir=output_dir, **options)
        self.box_noise = box_noise
        self.train_set = train_set

    @classmethod
    def from_config(cls, cfg: CfgNode, dataset_name: str, output_dir: str) -> dict[str, Any]:
        args = super().from_config(cfg, dataset_name, output_dir)
        return {**args, "train_set": next(iter(cfg.DATASETS.TRAIN), None)}

    def evaluate_predictions(self, predictions: Predictions):
        results = super().evaluate_predictions(predictions)
        storage = _storage()
        pictures = self._draw(predictions, training=storage is not None)
        if storage is not None:
            for name, picture in pictures.items():
                storage.put_image(name, picture.transpose(2, 0, 1))
            return results
        from torch.utils.tensorboard import SummaryWriter  # takes long to import

        with SummaryWriter(self.output_dir) as writer:
            for name, picture in pictures.items():
                writer.add_image(name, picture, 0, dataformats="HWC")
        return results

    def _draw(self, predictions: Predictions, training: bool) -> dict[str, np.ndarray]:
        name, thresh = self.dataset.name, self.options.score_threshs[0]
        dicts = self.dataset.dicts
        pictures: dict[str, Callable[[], np.ndarray]] = {
            "detections": lambda: draw_detections(dicts, predictions, name, score_thresh=thresh)
        }
        if predictions.searchable:
            labelled = functools.cache(lambda: labelled_features(self.dataset, predictions, thresh))
            pictures["embedding"] = lambda: draw_embedding_map(labelled(), name)
            pictures["similarities"] = lambda: draw_similarity_histograms(labelled(), name)
            pictures["worst_queries"] = lambda: draw_worst_queries(self._main_queries(), name)
        if self.box_noise is not None and self.train_set is not None and training:
            pictures["sna_boxes"] = lambda: draw_box_noise(
                DatasetCatalog.get(self.train_set), self.box_noise, self.train_set
            )
        drawn = {}
        for key, draw in pictures.items():
            try:
                drawn[f"{name}/{key}"] = draw()
            except UserError as error:  # the figures are worth more than a picture
                logger.warning("no picture of %s: %s", key, error)
        return drawn

    def _main_queries(self) -> list[dict[str, Any]]:
        protocol = self.dataset.protocol_names(self.options.gallery_sizes)[0]
        path = os.path.join(self.output_dir, f"queries_{protocol}.json")
        return load_queries(path)["queries"]


def _storage() -> EventStorage | None:
    try:
        return get_event_storage()
    except AssertionError:  # outside of training there is none
        return None
