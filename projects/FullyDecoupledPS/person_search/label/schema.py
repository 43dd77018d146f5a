"""The tables of a project's file."""

SCHEMA = """
CREATE TABLE IF NOT EXISTS recordings (
    recording_id INTEGER PRIMARY KEY AUTOINCREMENT,
    path TEXT NOT NULL UNIQUE,
    camera TEXT NOT NULL,
    content TEXT NOT NULL,
    is_timed INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS frames (
    frame_id INTEGER PRIMARY KEY AUTOINCREMENT,
    recording_id INTEGER NOT NULL REFERENCES recordings ON DELETE CASCADE,
    path TEXT NOT NULL,
    pts INTEGER,
    checksum INTEGER,
    time REAL NOT NULL,
    time_offset REAL NOT NULL,
    width INTEGER NOT NULL,
    height INTEGER NOT NULL,
    is_withheld INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX IF NOT EXISTS frames_of_recording ON frames (recording_id, time);
CREATE TABLE IF NOT EXISTS tracklets (
    tracklet_id INTEGER PRIMARY KEY AUTOINCREMENT,
    recording_id INTEGER NOT NULL REFERENCES recordings ON DELETE CASCADE,
    start REAL NOT NULL,
    end REAL NOT NULL,
    num_boxes INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS boxes (
    box_id INTEGER PRIMARY KEY AUTOINCREMENT,
    frame_id INTEGER NOT NULL REFERENCES frames ON DELETE CASCADE,
    tracklet_id INTEGER REFERENCES tracklets ON DELETE CASCADE,
    x0 REAL NOT NULL, y0 REAL NOT NULL, x1 REAL NOT NULL, y1 REAL NOT NULL,
    score REAL NOT NULL,
    is_interpolated INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS boxes_of_frame ON boxes (frame_id);
CREATE INDEX IF NOT EXISTS boxes_of_tracklet ON boxes (tracklet_id);
CREATE TABLE IF NOT EXISTS views (
    tracklet_id INTEGER NOT NULL REFERENCES tracklets ON DELETE CASCADE,
    number INTEGER NOT NULL,
    frame_id INTEGER NOT NULL REFERENCES frames ON DELETE CASCADE,
    x0 REAL NOT NULL, y0 REAL NOT NULL, x1 REAL NOT NULL, y1 REAL NOT NULL,
    score REAL NOT NULL,
    feature BLOB NOT NULL,
    PRIMARY KEY (tracklet_id, number)
) WITHOUT ROWID;
-- apart from the views, which are read all at once
CREATE TABLE IF NOT EXISTS crops (
    tracklet_id INTEGER NOT NULL REFERENCES tracklets ON DELETE CASCADE,
    number INTEGER NOT NULL,
    jpeg BLOB NOT NULL,
    PRIMARY KEY (tracklet_id, number)
);
CREATE TABLE IF NOT EXISTS simultaneous (
    a INTEGER NOT NULL REFERENCES tracklets ON DELETE CASCADE,
    b INTEGER NOT NULL REFERENCES tracklets ON DELETE CASCADE,
    first REAL NOT NULL,
    last REAL NOT NULL,
    is_one_camera INTEGER NOT NULL,
    PRIMARY KEY (a, b)
);
CREATE INDEX IF NOT EXISTS simultaneous_of_b ON simultaneous (b);
CREATE TABLE IF NOT EXISTS decisions (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    token TEXT NOT NULL UNIQUE,
    time REAL NOT NULL,
    made_by TEXT NOT NULL,
    kind TEXT NOT NULL,
    payload TEXT NOT NULL
);
-- The most similar tracklets of each, so that a project opens without comparing all of them.
CREATE TABLE IF NOT EXISTS neighbors (
    tracklet_id INTEGER PRIMARY KEY REFERENCES tracklets ON DELETE CASCADE,
    ids BLOB NOT NULL,
    similarities BLOB NOT NULL
);
"""
