CREATE TABLE products (
    id          uuid        PRIMARY KEY,
    sku         text        NOT NULL UNIQUE,
    -- "C" orders by code point, as SQLite does, whatever the database's locale is.
    name        text        NOT NULL COLLATE "C",
    description text        NOT NULL,
    -- Name, description and SKU without case, written by the service (listing::search_text).
    search      text        NOT NULL,
    currency    text        NOT NULL,
    price       bigint      NOT NULL CHECK (price >= 0),
    available   bigint      NOT NULL CHECK (available >= 0),
    reserved    bigint      NOT NULL CHECK (reserved >= 0),
    shipped     bigint      NOT NULL CHECK (shipped >= 0),
    revision    bigint      NOT NULL,
    created_at  timestamptz NOT NULL,
    updated_at  timestamptz NOT NULL
);
CREATE INDEX products_by_name ON products (name, id);

CREATE TABLE reservations (
    order_id   uuid        PRIMARY KEY,
    state      text        NOT NULL CHECK (state IN ('held', 'released', 'committed')),
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL
);

CREATE TABLE reservation_lines (
    order_id   uuid    NOT NULL REFERENCES reservations,
    position   integer NOT NULL,
    product_id uuid    NOT NULL REFERENCES products,
    quantity   integer NOT NULL CHECK (quantity > 0),
    sku        text    NOT NULL,
    name       text    NOT NULL,
    currency   text    NOT NULL,
    unit_price bigint  NOT NULL,
    PRIMARY KEY (order_id, position),
    UNIQUE (order_id, product_id)
);
