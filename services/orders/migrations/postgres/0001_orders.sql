-- An order is always read and written whole, so its lines stand in its row.
CREATE TABLE orders (
    id                   uuid PRIMARY KEY,
    customer_id          text NOT NULL,
    idempotency_key      text NOT NULL,
    -- SHA-256 of what was asked for: tells a repeated request from a reused key.
    content_hash         bytea NOT NULL,
    state                text NOT NULL,
    -- What the catalog must still be told, and when the recovery loop looks after it.
    next_step            text,
    next_attempt_at      timestamptz,
    attempts             integer NOT NULL,
    currency             text NOT NULL,
    -- [{"product_id", "quantity", "offer": null | {"sku", "name", "unit_price"}}]
    lines                jsonb NOT NULL,
    total                bigint,
    rejection_reason     text,
    rejection_product_id uuid,
    rejection_message    text,
    tracking_code        text,
    traceparent          text NOT NULL,
    placed_at            timestamptz NOT NULL,
    updated_at           timestamptz NOT NULL,
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
);
-- A customer's orders, newest first.
CREATE INDEX orders_by_customer ON orders (customer_id, placed_at DESC, id DESC);
-- Open steps only: few, however many orders there are.
CREATE INDEX orders_due ON orders (next_attempt_at) WHERE next_step IS NOT NULL;

-- Events wait here until somebody acknowledges them; then the row goes. Those given up stay, with died_at.
CREATE TABLE outbox (
    id          uuid PRIMARY KEY,
    kind        text NOT NULL,
    order_id    uuid NOT NULL REFERENCES orders (id),
    -- JSON, as the kind defines it.
    payload     text NOT NULL,
    traceparent text NOT NULL,
    occurred_at timestamptz NOT NULL,
    -- When the event may be leased (again): at once, when its lease ends, or after the pause that follows a rejection.
    due_at      timestamptz NOT NULL,
    attempts    integer NOT NULL,
    -- Of the last lease, unless it was given back.
    lease_token uuid,
    -- Of the last rejection.
    reason      text,
    died_at     timestamptz,
    CONSTRAINT outbox_death_has_reason CHECK (died_at IS NULL OR reason IS NOT NULL)
);
CREATE INDEX outbox_waiting ON outbox (occurred_at, id) WHERE died_at IS NULL;
CREATE INDEX outbox_dead ON outbox (died_at DESC, id) WHERE died_at IS NOT NULL;
