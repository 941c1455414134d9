// By require.

const onetrip = require("onetrip");

import("./serve.mjs").then(({ serve }) => serve(onetrip));
