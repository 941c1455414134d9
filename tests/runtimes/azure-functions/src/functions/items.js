const { app } = require("@azure/functions");
const { connect } = require("onetrip");

const sql = connect(process.env.ONETRIP_URL); // opens nothing

app.http("items", {
  methods: ["GET"],
  authLevel: "anonymous",
  handler: async (request, context) => {
    const items = await sql`select id, name, price from items where price < ${20} order by id`;
    context.log(`${items.length} items`);
    return { jsonBody: items };
  },
});
