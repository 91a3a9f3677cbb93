-- Ids are the 16 bytes of a UUID, times are microseconds since 1970 UTC.

-- One row per order: the tracking code that the customer is told never changes.
CREATE TABLE shipments (
    order_id      BLOB    NOT NULL PRIMARY KEY,
    tracking_code TEXT    NOT NULL UNIQUE,
    state         TEXT    NOT NULL CHECK (state IN ('packing', 'shipped', 'void')),
    -- When it is packed: a worker that takes over waits only for what is left.
    ready_at      INTEGER NOT NULL,
    created_at    INTEGER NOT NULL,
    updated_at    INTEGER NOT NULL
) STRICT;

-- Events that were taken up: one that is delivered again finds itself here.
CREATE TABLE inbox (
    event_id    BLOB    NOT NULL PRIMARY KEY,
    order_id    BLOB    NOT NULL REFERENCES shipments,
    received_at INTEGER NOT NULL
) STRICT;
