-- One row per order: the tracking code that the customer is told never changes.
CREATE TABLE shipments (
    order_id      uuid        PRIMARY KEY,
    tracking_code text        NOT NULL CONSTRAINT shipments_tracking_code_unique UNIQUE,
    state         text        NOT NULL CHECK (state IN ('packing', 'shipped', 'void')),
    -- When it is packed: a worker that takes over waits only for what is left.
    ready_at      timestamptz NOT NULL,
    created_at    timestamptz NOT NULL,
    updated_at    timestamptz NOT NULL
);

-- Events that were taken up: one that is delivered again finds itself here.
CREATE TABLE inbox (
    event_id    uuid        PRIMARY KEY,
    order_id    uuid        NOT NULL REFERENCES shipments,
    received_at timestamptz NOT NULL
);
