-- A small shop.
create table products (
    id int4 generated always as identity primary key,
    name text not null,
    price numeric(10, 2) not null,
    in_stock bool not null,
    added timestamptz not null,
    tags jsonb not null
);
insert into products (name, price, in_stock, added, tags) values
    ('lamp', 39.90, true, '2026-03-01 09:30:00Z', '["light", "desk"]'),
    ('chair', 129.00, true, '2026-03-02 10:00:00Z', '[]'),
    ('café table', 49.50, false, '2026-03-03 11:15:30Z', '["outdoor"]');
create table order_lines (
    order_id uuid not null,
    product text not null,
    primary key (order_id, product)
);
