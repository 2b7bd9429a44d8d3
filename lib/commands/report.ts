/** `valora report`: the page and the tables of a study, an evaluation or the demo. */
import { resolve } from "node:path";
import { defineCommand } from "./command.js";

export const report = defineCommand({
  name: "report",
  summary: "one page and tables from the items of a study",
  description:
    "Reads items.jsonl, and examples.jsonl, study.yaml and the tables of curate and precision where they lie beside it; " +
    "writes report.html, one file that works offline, and every table as CSV and JSON. docs/reports.md says what each " +
    "section means.",
  positional: { placeholder: "DIR", describe: "folder of a study, an evaluation or the demo" },
  options: {
    output: { type: "string", placeholder: "DIR", describe: "folder of the report (DIR itself)" },
  },
  commonOptions: ["config", "quiet", "json-logs", "debug"],
  examples: ["valora report my-study", "valora report valora-demo --output page"],
  async run(options, context, [folder = "."]) {
    const { writeReport } = await import("../report/write-report.js");
    const bar = context.progress("reading", "items");
    try {
      const written = await writeReport(folder, {
        output: options.output ?? folder,
        signal: context.signal,
        onProgress: (items) => bar.update(items),
      });
      bar.stop();
      for (const sentence of written.findings) context.note(sentence);
      const size = `${(written.bytes / 2 ** 20).toFixed(1)} MiB from ${written.items.toLocaleString("en-GB")} items`;
      context.note(`${written.tables.length} tables in ${resolve(options.output ?? folder, "tables")}; page: ${size}`);
      await context.print(`${resolve(written.page)}\n`);
    } finally {
      bar.stop();
    }
  },
});
