"""TIFF files with any tags, as cameras write them and Pillow does not."""

import struct


def write_tiff(path, data, size, bits, *, photometric=1, sample_format=1, order="<", planes=1):
    """
    Args:
        data: the bytes of one strip, grey; of three, one a colour, with ``planes`` 3.
        size: (width, height).
        order: "<" or ">".
    """
    each = len(data) // planes
    strips = tuple(8 + each * i for i in range(planes))
    tags = [
        (256, (size[0],)), (257, (size[1],)), (258, (bits,) * planes), (259, (1,)),
        (262, (photometric,)), (273, strips), (277, (planes,)), (278, (size[1],)),
        (279, (each,) * planes), (284, (1 if planes == 1 else 2,)),
        (339, (sample_format,) * planes),
    ]  # fmt: skip
    head = (b"II" if order == "<" else b"MM") + struct.pack(order + "HI", 42, 8 + len(data))
    entries, behind = b"", b""
    end = 8 + len(data) + 2 + 12 * len(tags) + 4
    for tag, values in tags:
        packed = struct.pack(f"{order}{len(values)}I", *values)
        if len(values) > 1:
            packed, behind = struct.pack(order + "I", end + len(behind)), behind + packed
        entries += struct.pack(order + "HHI", tag, 4, len(values)) + packed
    directory = struct.pack(order + "H", len(tags)) + entries + bytes(4)
    path.write_bytes(head + data + directory + behind)
    return path
