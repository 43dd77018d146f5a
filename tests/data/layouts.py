"""Small datasets in the benchmarks' real layouts, with the oddities that the real ones have."""

from pathlib import Path

import numpy as np
from PIL import Image
from scipy.io import savemat


def write_image(path: Path, width: int, height: int, orientation: int = 1) -> None:
    """A JPEG with a red upper left quarter, no copy of another; `orientation` is the EXIF value."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if width * height > 10**7:  # quicker in one bit a pixel, and read by its header alone
        Image.new("1", (width, height)).save(path, "PNG")
        return
    image = Image.new("RGB", (width, height), (90, 120, 150))
    image.paste((255, 0, 0), (0, 0, width // 2, height // 2))
    exif = Image.Exif()
    exif[0x0112] = orientation
    image.save(path, exif=exif, comment=str(path).encode())


def cell(items) -> np.ndarray:
    """An (N, 1) cell array; every item becomes a cell."""
    array = np.empty((len(items), 1), dtype=object)
    for i, item in enumerate(items):
        array[i, 0] = item
    return array


def nested_cell(items) -> np.ndarray:
    """PRW's index files: an (N, 1) cell array of 1 x 1 cell arrays."""
    return cell([cell([item]) for item in items])


# frame: (size, key of its annotation file, rows of id, x, y, w, h)
PRW_TRAIN = {
    "c1s1_000151": ((192, 108), "box_new", [[932, 10, 20, 30, 60], [-2, 100.5, 10.25, 20, 40]]),
    "c2s1_000176": ((192, 108), "anno_file", [[5, -4, 30, 30, 60], [5, 60, 30, 30, 60]]),
    "c6s1_000201": ((72, 58), "anno_previous", [[932, 50, 30, 30, 60], [7, 1, 1, 10, 20]]),
}
PRW_TEST = {
    "c1s2_000301": ((192, 108), "box_new", [[5, 10, 20, 30, 60], [483, 80, 20, 30, 60]]),
    "c1s2_000326": ((192, 108), "box_new", [[5, 12, 20, 30, 60]]),
    "c3s2_000301": ((192, 108), "anno_file", [[5, 14, 20, 30, 60], [-2, 90, 20, 30, 60]]),
}
PRW_OTHER = {"c4s2_000301": ((72, 58), "box_new", [[483, 5, 5, 20, 40]])}
PRW_QUERIES = (
    "5 10 20 30 60 c1s2_000301\r\n"
    "483 80 20 30 60 c1s2_000301\r\n"
    "5 14.000000 20 30 60 c3s2_000301\r\n"
    "483 5 5 20 60 c4s2_000301\r\n"
)


def write_prw(root: Path, nested: bool = True) -> Path:
    """Two splits of three frames, and a query frame that is in neither."""
    for name, (size, key, rows) in {**PRW_TRAIN, **PRW_TEST, **PRW_OTHER}.items():
        write_image(root / "frames" / f"{name}.jpg", *size)
        write_prw_boxes(root, name, rows, key)
    cells = nested_cell if nested else cell
    savemat(root / "frame_train.mat", {"img_index_train": cells(list(PRW_TRAIN))})
    savemat(root / "frame_test.mat", {"img_index_test": cells(list(PRW_TEST))})
    (root / "query_info.txt").write_bytes(PRW_QUERIES.encode())
    return root


def write_prw_boxes(root: Path, name: str, rows, key: str = "box_new") -> None:
    (root / "annotations").mkdir(parents=True, exist_ok=True)
    savemat(root / "annotations" / f"{name}.jpg.mat", {key: np.array(rows, dtype=np.float64)})


def structs(fields, rows) -> np.ndarray:
    """A (1, N) struct array as MATLAB writes it."""
    array = np.empty((1, len(rows)), dtype=[(field, object) for field in fields])
    for i, row in enumerate(rows):
        array[0, i] = tuple(row)
    return array


def uint16(*xywh) -> np.ndarray:
    return np.array([xywh], dtype=np.uint16)


ABSENT = np.zeros((1, 0), dtype=np.uint16)
HARD = np.array([[0]], dtype=np.uint8)

# image: (size, boxes of x, y, w, h)
CUHK_IMAGES = {
    "s1.jpg": ((200, 100), [(10, 10, 20, 40), (190, 10, 30, 40), (5, 5, 0, 10)]),
    "s2.jpg": ((65000, 700), [(40000, 0, 30000, 2), (10, 0, 5, 2)]),
    "s3.jpg": ((200, 100), [(1, 2, 3, 4)]),
    "s11.jpg": ((200, 100), [(20, 20, 30, 60), (100, 20, 30, 60)]),
    "s12.jpg": ((200, 100), [(40, 20, 30, 60), (40, 20, 30, 60), (120, 20, 30, 60)]),
    "s13.jpg": ((200, 100), [(60, 20, 30, 60)]),
    "s14.jpg": ((200, 100), [(80, 20, 30, 60), (150, 20, 30, 60)]),
}
CUHK_POOL = ["s11.jpg", "s12.jpg", "s13.jpg", "s14.jpg"]
# idname: scenes of image, box. The last has a box that Images.mat lacks; the second a test frame.
CUHK_TRAIN = {
    "p1": [("s1.jpg", (10, 10, 20, 40)), ("s3.jpg", (1, 2, 3, 4))],
    "p5": [("s1.jpg", (190, 10, 30, 40)), ("s11.jpg", (20, 20, 30, 60))],
    "p9": [("s3.jpg", (50, 50, 20, 20))],
}
# idname: query image, its box, gallery of image and box (None: the person is not there)
CUHK_G50 = {
    # a frame twice, and the query's own frame
    "p700": (
        "s11.jpg",
        (20, 20, 30, 60),
        [
            ("s12.jpg", (40, 20, 30, 60)),
            ("s13.jpg", None),
            ("s12.jpg", (40, 20, 30, 60)),
            ("s11.jpg", (20, 20, 30, 60)),
        ],
    ),
    # its own frame, listed as one without the person
    "p300": (
        "s13.jpg",
        (60, 20, 30, 60),
        [("s13.jpg", None), ("s14.jpg", (80, 20, 30, 60))],
    ),
    # a training frame as query, and a box that Images.mat lacks
    "p800": ("s1.jpg", (10, 10, 20, 40), [("s14.jpg", (2, 2, 10, 20))]),
}
CUHK_G100 = {  # the same persons in another order, with more frames
    "p300": (*CUHK_G50["p300"][:2], [*CUHK_G50["p300"][2], ("s12.jpg", None)]),
    "p800": (*CUHK_G50["p800"][:2], [*CUHK_G50["p800"][2], ("s11.jpg", None)]),
    "p700": CUHK_G50["p700"],
}


def write_cuhk_sysu(root: Path) -> Path:
    """Three training images, four test images, galleries "50" and "100"."""
    annotation = root / "annotation"
    split = annotation / "test" / "train_test"
    split.mkdir(parents=True)
    images = []
    for name, (size, boxes) in CUHK_IMAGES.items():
        write_image(root / "Image" / "SSM" / name, *size)
        rows = [(uint16(*box), HARD) for box in boxes]
        images.append((name, len(boxes), structs(["idlocate", "ishard"], rows)))
    savemat(annotation / "Images.mat", {"Img": structs(["imname", "nAppear", "box"], images)})
    savemat(annotation / "pool.mat", {"pool": cell(CUHK_POOL)})
    write_cuhk_train(root, CUHK_TRAIN)
    write_cuhk_test(root, 50, CUHK_G50)
    write_cuhk_test(root, 100, CUHK_G100)
    return root


def write_cuhk_train(root: Path, train) -> None:
    persons = []
    for idname, scenes in train.items():
        rows = [(name, uint16(*box), HARD) for name, box in scenes]
        scene = structs(["imname", "idlocate", "ishard"], rows)
        persons.append(structs(["idname", "nAppear", "scene"], [(idname, len(rows), scene)]))
    savemat(root / "annotation" / "test" / "train_test" / "Train.mat", {"Train": cell(persons)})


def write_cuhk_test(root: Path, size: int, queries) -> None:
    entries = []
    for idname, (image, box, gallery) in queries.items():
        fields = ["imname", "idlocate", "ishard", "idname"]
        query = structs(fields, [(image, uint16(*box), HARD, idname)])
        rows = [(n, ABSENT if b is None else uint16(*b), HARD) for n, b in gallery]
        entries.append((query, structs(["imname", "idlocate", "ishard"], rows)))
    path = root / "annotation" / "test" / "train_test" / f"TestG{size}.mat"
    savemat(path, {f"TestG{size}": structs(["Query", "Gallery"], entries)})
