const functions = require("@google-cloud/functions-framework");
const { connect } = require("onetrip");

const sql = connect(process.env.ONETRIP_URL); // opens nothing

functions.http("items", async (request, response) => {
  response.json(await sql`select id, name, price from items where price < ${20} order by id`);
});
