CREATE TABLE product (
    id INTEGER PRIMARY KEY,
    sku TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    stock INTEGER NOT NULL DEFAULT 0 CONSTRAINT product_stock_check CHECK (stock >= 0)
) STRICT;

CREATE TABLE offer (
    product_id INTEGER NOT NULL REFERENCES product (id),
    season TEXT NOT NULL,
    country TEXT NOT NULL,
    UNIQUE (season, country)
) STRICT;
