"""The collections of an index in Milvus: their names and fields."""

# What follows the name of the index in that of a collection.
PERSONS, FRAMES, SOURCES = "", "_frames", "_sources"
# Of the writers; see milvus_lease.
LEASES = "_leases"
# Who was forgotten.
TOMBSTONES = "_forgotten"
# The persons while they are copied.
REWRITTEN = "_rewritten"
# Of the entity among the sources that holds the index's own description.
INFO_ID = 0
# Of a field that has none: what FFmpeg has for "no time stamp", so that no pts is it.
NO_VALUE = -(2**63)
# Milvus counts bytes; one of a path that is no UTF-8 is stored as four.
MAX_PATH, MAX_NAME, MAX_RECIPE, MAX_TOMBSTONE = 16384, 1024, 8192, 65535


def placeholder() -> dict:
    """The vector of entities that have none; Milvus wants one in every collection."""
    return {"placeholder": [0.0, 0.0]}


def quoted(text: str) -> str:
    """A string in a filter; all but these four characters stand for themselves."""
    for character, escape in (("\\", r"\\"), ('"', r"\""), ("\n", r"\n"), ("\r", r"\r")):
        text = text.replace(character, escape)
    return f'"{text}"'


def create_collection(client, name: str, kind: str, dim: int) -> None:
    """Make and load a collection of one of the kinds above, unless it is there."""
    from pymilvus import DataType

    if client.has_collection(name):
        return
    schema = client.create_schema(auto_id=False, enable_dynamic_field=False)
    key = {
        PERSONS: "person_id",
        FRAMES: "frame_id",
        SOURCES: "source_id",
        LEASES: "writer_id",
        TOMBSTONES: "tombstone_id",
    }[kind]
    schema.add_field(key, DataType.INT64, is_primary=True)
    if kind in (PERSONS, FRAMES):
        _add_frame_fields(schema, DataType, with_id=kind == PERSONS)
    if kind == PERSONS:
        for field in ("x0", "y0", "x1", "y1", "score"):
            schema.add_field(field, DataType.FLOAT)
        schema.add_field("feature", DataType.FLOAT_VECTOR, dim=dim)
    else:
        schema.add_field("placeholder", DataType.FLOAT_VECTOR, dim=2)
    if kind == SOURCES:
        _add_source_fields(schema, DataType)
    if kind == LEASES:
        for field in ("shard", "num_shards", "beat"):
            schema.add_field(field, DataType.INT64)
        schema.add_field("holder", DataType.VARCHAR, max_length=MAX_NAME)
    if kind == TOMBSTONES:
        schema.add_field("content", DataType.VARCHAR, max_length=MAX_TOMBSTONE)
    parameters = client.prepare_index_params()
    vector = "feature" if kind == PERSONS else "placeholder"
    parameters.add_index(vector, index_type="AUTOINDEX", metric_type="IP")
    # what was written is read: a search right after indexing finds it
    client.create_collection(
        name, schema=schema, index_params=parameters, consistency_level="Strong"
    )


def _add_frame_fields(schema, types, with_id: bool) -> None:
    if with_id:
        schema.add_field("frame_id", types.INT64)
    schema.add_field("path", types.VARCHAR, max_length=MAX_PATH)
    schema.add_field("pts", types.INT64)  # NO_VALUE for a picture
    schema.add_field("camera", types.VARCHAR, max_length=MAX_NAME)
    schema.add_field("time", types.DOUBLE)
    schema.add_field("width", types.INT64)
    schema.add_field("height", types.INT64)
    schema.add_field("time_offset", types.DOUBLE)
    schema.add_field("checksum", types.INT64)


def _add_source_fields(schema, types) -> None:
    schema.add_field("path", types.VARCHAR, max_length=MAX_PATH)
    schema.add_field("size", types.INT64)
    schema.add_field("mtime_ns", types.INT64)
    schema.add_field("recipe", types.VARCHAR, max_length=MAX_RECIPE)
    schema.add_field("camera", types.VARCHAR, max_length=MAX_NAME)
    schema.add_field("start", types.DOUBLE)
    schema.add_field("is_done", types.INT64)
