-- Ids are 16 bytes, times are microseconds since 1970 in UTC.

-- An order is always read and written whole, so its lines stand in its row.
CREATE TABLE orders (
    id                   BLOB PRIMARY KEY NOT NULL,
    customer_id          TEXT NOT NULL,
    idempotency_key      TEXT NOT NULL,
    -- SHA-256 of what was asked for: tells a repeated request from a reused key.
    content_hash         BLOB NOT NULL,
    state                TEXT NOT NULL,
    -- What the catalog must still be told, and when the recovery loop looks after it.
    next_step            TEXT,
    next_attempt_at      INTEGER,
    attempts             INTEGER NOT NULL,
    currency             TEXT NOT NULL,
    -- [{"product_id", "quantity", "offer": null | {"sku", "name", "unit_price"}}]
    lines                TEXT NOT NULL CHECK (json_valid(lines)),
    total                INTEGER,
    rejection_reason     TEXT,
    rejection_product_id BLOB,
    rejection_message    TEXT,
    tracking_code        TEXT,
    traceparent          TEXT NOT NULL,
    placed_at            INTEGER NOT NULL,
    updated_at           INTEGER NOT NULL,
    UNIQUE (customer_id, idempotency_key),
    CONSTRAINT orders_state_known CHECK (state IN ('pending', 'confirmed', 'rejected', 'cancelled', 'shipped')),
    CONSTRAINT orders_step_fits_state CHECK (CASE coalesce(next_step, '')
        WHEN ''        THEN state <> 'pending'
        WHEN 'reserve' THEN state = 'pending'
        WHEN 'release' THEN state IN ('cancelled', 'rejected')
        WHEN 'commit'  THEN state = 'shipped'
        ELSE false
    END),
    CONSTRAINT orders_step_has_time CHECK ((next_step IS NULL) = (next_attempt_at IS NULL))
) STRICT;
-- A customer's orders, newest first.
CREATE INDEX orders_by_customer ON orders (customer_id, placed_at DESC, id DESC);
-- Open steps only: few, however many orders there are.
CREATE INDEX orders_due ON orders (next_attempt_at) WHERE next_step IS NOT NULL;

-- Events wait here until somebody acknowledges them; then the row goes. Those given up stay, with died_at.
CREATE TABLE outbox (
    id          BLOB PRIMARY KEY NOT NULL,
    kind        TEXT NOT NULL,
    order_id    BLOB NOT NULL REFERENCES orders (id),
    -- JSON, as the kind defines it.
    payload     TEXT NOT NULL,
    traceparent TEXT NOT NULL,
    occurred_at INTEGER NOT NULL,
    -- When the event may be leased (again): at once, when its lease ends, or after the pause that follows a rejection.
    due_at      INTEGER NOT NULL,
    attempts    INTEGER NOT NULL,
    -- Of the last lease, unless it was given back.
    lease_token BLOB,
    -- Of the last rejection.
    reason      TEXT,
    died_at     INTEGER,
    CONSTRAINT outbox_death_has_reason CHECK (died_at IS NULL OR reason IS NOT NULL)
) STRICT;
CREATE INDEX outbox_waiting ON outbox (occurred_at, id) WHERE died_at IS NULL;
CREATE INDEX outbox_dead ON outbox (died_at DESC, id) WHERE died_at IS NOT NULL;
