// node index.cjs

const { createServer } = require("node:http");
const { connect } = require("onetrip");

const sql = connect(process.env.ONETRIP_URL); // opens nothing

const server = createServer(async (request, response) => {
  const items = await sql`select id, name, price from items where price < ${20} order by id`;
  response.setHeader("content-type", "application/json").end(JSON.stringify(items));
});
server.listen(process.env.PORT ?? 3000, "127.0.0.1", () => {
  console.log(`http://127.0.0.1:${server.address().port}`);
});
