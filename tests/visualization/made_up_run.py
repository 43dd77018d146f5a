"""A made-up run: a few small frames, and every file that the report reads."""

import json
from types import SimpleNamespace

import cv2
import numpy as np

FRAME_SIZE = (160, 240)  # height, width
BOXES = [[20.0, 30.0, 50.0, 110.0], [150.0, 40.0, 180.0, 120.0]]  # where persons stand, always
NUM_FRAMES = 12
HOSTILE = 'c9s1_<img src=x onerror="alert(1)">&\'.jpg'


def write_frame(path, seed):
    """Grey noise with a coloured person at each of BOXES."""
    rng = np.random.default_rng(seed)
    frame = rng.integers(90, 110, (*FRAME_SIZE, 3), dtype=np.uint8)
    for x0, y0, x1, y1 in np.array(BOXES, dtype=int):
        frame[y0:y1, x0:x1] = rng.integers(0, 255, 3)
    cv2.imwrite(str(path), frame)


def make_query(folder, index, num_queries):
    """Query `index`: its AP falls from 1 to 0 with the index; hits are right up to that share."""

    def at(frame, box):
        name = f"c{frame % 6 + 1}s1_{frame:06d}.jpg"
        fields = {"image_id": name, "file_name": str(folder / name)}
        return {**fields, "camera_id": frame % 6 + 1, "bbox": box}

    ap = 1 - index / (num_queries - 1)
    hits = []
    for rank in range(1, 11):
        correct = rank <= 10 * ap
        # of the wrong ones: not in the frame, elsewhere in it, or there but badly boxed
        gt_bbox = BOXES[0] if correct else [None, BOXES[1], [20.0, 30.0, 35.0, 110.0]][rank % 3]
        hit = {"rank": rank, "score": 0.9, "similarity": 1 - rank / 11}
        hits.append({**hit, **at(rank, BOXES[0]), "correct": correct, "gt_bbox": gt_bbox})
    missed = [{**at(11, BOXES[1]), "reason": "below the first 10"}] * 5
    missed += [{**at(10, BOXES[1]), "reason": "not detected"}] * 3
    first = next((hit["rank"] for hit in hits if hit["correct"]), 14 if index % 2 else None)
    return {
        **{"query_id": index, **at(0, BOXES[1]), "person_id": 900 + index},
        **{"ap": ap, "first_hit_rank": first, "num_gt": 12, "num_tp": 9},
        **{"hits": hits, "missed": missed},
    }


def search_figures(value):
    names = ("mAP", "top1", "top5", "top10")
    return {name: value + i for i, name in enumerate(names)}


def make_run(folder, num_queries=30):
    """Write all inputs of a report; returns their paths as `write_report` takes them."""
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(NUM_FRAMES):
        write_frame(folder / f"c{i % 6 + 1}s1_{i:06d}.jpg", i)

    def write(name, content):
        path = folder / name
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return path

    detection = {"AP": 93.25, "recall": 97.5}
    groups = ("search", "search_cws", "search_multi_view", "search_multi_view_cws")
    figures = {g: search_figures(80.0 - 2 * i) for i, g in enumerate(groups)}
    counts = {"frames": 12, "persons": 24, "queries": {"full": 30, "multi_view": 30}}
    results = {"dataset": "made_up_test", "counts": counts, "detection": detection, **figures}
    untrained = {"detection": detection, "search": search_figures(21.5)}
    queries = [make_query(folder, i, num_queries) for i in range(num_queries)]
    queries_file = {
        **{"version": 1, "dataset": "made_up_test", "protocol": "full", "score_thresh": 0.5},
        **{"metrics": figures["search"], "queries": queries},
    }
    rng = np.random.default_rng(0)
    steps = np.arange(19, 1000, 20)

    def log(**scalars):
        columns = {name: curve + rng.normal(0, 0.01, len(steps)) for name, curve in scalars.items()}
        records = [
            {
                "iteration": int(step),
                "time": 0.2,
                **{k: abs(float(v[i])) for k, v in columns.items()},
            }
            for i, step in enumerate(steps)
        ]
        return "\n".join(json.dumps(record) for record in records) + "\n"

    decay = np.exp(-steps / 200)
    detector = log(total_loss=2 * decay, loss_cls=decay, loss_rpn_loc=decay / 3, lr=2 + 0 * decay)
    reid = log(
        **{"total_loss": 6 * decay, "loss_oim": 5 * decay, "loss_triplet": decay},
        **{"alpha/conv3": 0.5 + 0.1 * (1 - decay), "alpha/conv4": 0.5 - 0.2 * (1 - decay)},
        **{"memory/lookup_seen": 0.9 - decay, "memory/queue_fill": np.minimum(steps / 500, 0.9)},
    )
    return SimpleNamespace(
        folder=folder,
        queries=queries,
        inputs={
            "title": "A made-up run",
            "results": write("metrics.json", results),
            "queries_file": write("queries_full.json", queries_file),
            "floor": write("floor.json", {"search": search_figures(8.5)}),
            "untrained": write("untrained.json", untrained),
            "training_logs": {
                "detection": write("detection.json", detector),
                "reid": write("reid.json", reid),
            },
            "facts": {"Command": "make demo", "Hardware": "2 CPU cores"},
        },
    )
