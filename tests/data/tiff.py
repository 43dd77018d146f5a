"""TIFF files of one strip with any tags, as cameras write them and Pillow does not."""

import struct


def write_tiff(path, data, size, bits, *, photometric=1, sample_format=1, order="<"):
    """Grey; data are the strip's bytes, size is (width, height), order "<" or ">"."""
    tags = [
        (256, size[0]), (257, size[1]), (258, bits), (259, 1), (262, photometric), (273, 8),
        (277, 1), (278, size[1]), (279, len(data)), (339, sample_format),
    ]  # fmt: skip
    head = (b"II" if order == "<" else b"MM") + struct.pack(order + "HI", 42, 8 + len(data))
    entries = b"".join(struct.pack(order + "HHII", tag, 4, 1, value) for tag, value in tags)
    directory = struct.pack(order + "H", len(tags)) + entries + bytes(4)
    path.write_bytes(head + data + directory)
    return path
