/**
 * Makes data/study.schema.json, which editors check study files against, from the schema in lib/study/schema.ts.
 *
 *     npm run build && node scripts/make-study-schema.mjs
 */
import { writeFileSync } from "node:fs";
import { studyJsonSchema } from "../dist/study/schema.js";

const target = new URL("../data/study.schema.json", import.meta.url);
writeFileSync(target, `${JSON.stringify(studyJsonSchema(), null, 2)}\n`);
