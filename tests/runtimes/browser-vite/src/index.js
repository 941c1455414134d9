import { connect } from "onetrip";

// From the application's own server, for the user who is signed in: a page must never hold a password of the database.
const { url, authorization } = await (await fetch("/session")).json();

const sql = connect(url, { headers: { authorization } }); // opens nothing
const items = await sql`select id, name, price from items where price < ${20} order by id`;

for (const { name, price } of items) {
  document.body.append(Object.assign(document.createElement("li"), { textContent: `${name} ${price}` }));
}
