// Serves the program under measurement from Node, Deno or Bun; workerd serves it as a Worker.

import { serve } from "./serve.mjs";

serve();
