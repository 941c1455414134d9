// By import.

import * as onetrip from "onetrip";
import { serve } from "./serve.mjs";

serve(onetrip);
