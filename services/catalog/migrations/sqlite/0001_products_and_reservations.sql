-- Ids are the 16 bytes of a UUID, times are microseconds since 1970 UTC.
CREATE TABLE products (
    id          BLOB    NOT NULL PRIMARY KEY,
    sku         TEXT    NOT NULL UNIQUE,
    name        TEXT    NOT NULL,
    description TEXT    NOT NULL,
    -- Name, description and SKU without case, written by the service (listing::search_text):
    -- SQLite's lower() knows ASCII only.
    search      TEXT    NOT NULL,
    currency    TEXT    NOT NULL,
    price       INTEGER NOT NULL CHECK (price >= 0),
    available   INTEGER NOT NULL CHECK (available >= 0),
    reserved    INTEGER NOT NULL CHECK (reserved >= 0),
    shipped     INTEGER NOT NULL CHECK (shipped >= 0),
    revision    INTEGER NOT NULL,
    created_at  INTEGER NOT NULL,
    updated_at  INTEGER NOT NULL
) STRICT;
CREATE INDEX products_by_name ON products (name, id);

CREATE TABLE reservations (
    order_id   BLOB    NOT NULL PRIMARY KEY,
    state      TEXT    NOT NULL CHECK (state IN ('held', 'released', 'committed')),
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;

CREATE TABLE reservation_lines (
    order_id   BLOB    NOT NULL REFERENCES reservations,
    position   INTEGER NOT NULL,
    product_id BLOB    NOT NULL REFERENCES products,
    quantity   INTEGER NOT NULL CHECK (quantity > 0),
    sku        TEXT    NOT NULL,
    name       TEXT    NOT NULL,
    currency   TEXT    NOT NULL,
    unit_price INTEGER NOT NULL,
    PRIMARY KEY (order_id, position),
    UNIQUE (order_id, product_id)
) STRICT;
