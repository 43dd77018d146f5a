"""The collections of an index in Milvus: their names and fields."""

# Appended to the index's name.
PERSONS, FRAMES, SOURCES = "", "_frames", "_sources"
# Of the writers; see milvus_lease.
LEASES = "_leases"
# Who was forgotten.
TOMBSTONES = "_forgotten"
# The persons while they are copied.
REWRITTEN = "_rewritten"
# Of the entity among the sources that holds the index's own description.
INFO_ID = 0
# Of a field without a value: FFmpeg's "no time stamp", which no pts equals.
NO_VALUE = -(2**63)
# Longest texts. Milvus counts bytes; a byte of a path that is not UTF-8 is stored as four.
MAX_LENGTHS = {"path": 16384, "camera": 1024, "holder": 1024, "recipe": 8192, "content": 65535}

# Fields and their types, in the order of Frame's own.
FRAME_FIELDS = {
    **{"frame_id": "INT64", "path": "VARCHAR", "pts": "INT64", "camera": "VARCHAR"},
    **{"time": "DOUBLE", "width": "INT64", "height": "INT64", "time_offset": "DOUBLE"},
    "checksum": "INT64",
}
BOX = ("x0", "y0", "x1", "y1")
PERSON_FIELDS = {
    **{"person_id": "INT64", **FRAME_FIELDS},
    **dict.fromkeys((*BOX, "score"), "FLOAT"),
}
# The first is the key.
FIELDS = {
    PERSONS: PERSON_FIELDS,
    FRAMES: FRAME_FIELDS,
    SOURCES: {
        **{"source_id": "INT64", "path": "VARCHAR", "size": "INT64", "mtime_ns": "INT64"},
        **{"recipe": "VARCHAR", "camera": "VARCHAR", "start": "DOUBLE", "is_done": "INT64"},
    },
    LEASES: {
        **dict.fromkeys(("writer_id", "shard", "num_shards", "beat"), "INT64"),
        "holder": "VARCHAR",
    },
    TOMBSTONES: {"tombstone_id": "INT64", "content": "VARCHAR"},
}


def placeholder() -> dict:
    """The vector of entities that have none; Milvus requires one in every collection."""
    return {"placeholder": [0.0, 0.0]}


def quoted(text: str) -> str:
    """A string in a filter; all but these four characters stand for themselves."""
    for character, escape in (("\\", r"\\"), ('"', r"\""), ("\n", r"\n"), ("\r", r"\r")):
        text = text.replace(character, escape)
    return f'"{text}"'


def create_collection(client, name: str, kind: str, dim: int = 2) -> None:
    """Make a collection of one of the kinds above, unless it exists, and load it."""
    from pymilvus import DataType

    if not client.has_collection(name):
        schema = client.create_schema(auto_id=False, enable_dynamic_field=False)
        for number, (field, type_name) in enumerate(FIELDS[kind].items()):
            limit = {"max_length": MAX_LENGTHS[field]} if type_name == "VARCHAR" else {}
            schema.add_field(field, DataType[type_name], is_primary=number == 0, **limit)
        vector = "feature" if kind == PERSONS else "placeholder"
        schema.add_field(vector, DataType.FLOAT_VECTOR, dim=dim if kind == PERSONS else 2)
        parameters = client.prepare_index_params()
        parameters.add_index(vector, index_type="AUTOINDEX", metric_type="IP")
        # strongly consistent: a search right after indexing finds what was written
        client.create_collection(
            name, schema=schema, index_params=parameters, consistency_level="Strong"
        )
    client.load_collection(name)
