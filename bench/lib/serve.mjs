// Serves a program under measurement from Node, Deno or Bun; workerd serves one as a Worker.

import { createServer } from "node:http";
import { readFile } from "node:fs/promises";
import { app } from "./app.mjs";

export function serve(counted) {
  const directory = process.argv[2];
  const handle = app((name) => readFile(`${directory}/${name}`), counted);
  const server = createServer(async (request, response) => {
    try {
      response.end(await handle(`http://host${request.url}`));
    } catch (error) {
      response.statusCode = 500;
      response.end(String(error?.stack ?? error));
    }
  });
  server.listen(0, "127.0.0.1", () => console.log(JSON.stringify({ port: server.address().port })));
}
