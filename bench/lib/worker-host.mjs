// Serves the program under measurement from workerd.

import { worker } from "./serve-worker.mjs";

export default worker();
