/** Help screens: what `valora --help` and `valora COMMAND --help` show. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { run } from "./program.js";

/** A terminal's usual width; as many rows as the longest, train with one for each of its 31 options, may take. */
const COLUMNS = 80;
const ROWS = 44;

/** Options that the contract names, by command. */
const PROMISED: Record<string, string> = {
  demo: "output minutes",
  pull: "",
  inspect: "json",
  tokenize: "model input output chat no-generation-prompt chat-template",
  precision:
    "input extractor format output limit value values threshold labels model api-url api-model " +
    "api-concurrency api-timeout api-rpm api-price-in api-price-out",
  curate: "input output value min-pairs max-pairs arm threshold near-duplicates held-out",
  train:
    "model pairs output rank alpha targets rslora loss label-smoothing rpo-alpha beta learning-rate schedule warmup " +
    "weight-decay clip batch-pairs accumulate epochs steps max-length no-shuffle init-adapter reference save-every keep resume chat-template",
  score: "model input output adapter per-token format boundary chat-template",
  generate: "model input output adapter max-new-tokens temperature top-p top-k samples system ignore-eos chat-template",
  eval: "model adapter suite output limit data system list chat-template",
  merge: "model adapter output",
  bench: "format output only model isa time",
};
const COMMON = "device compute threads memory seed config quiet json-logs on-error";

const words = (text: string): string[] => text.split(" ").filter((word) => word !== "");

function assertFits(screen: string): void {
  const rows = screen.replace(/\n$/, "").split("\n");
  assert.ok(rows.length <= ROWS, `${rows.length} rows`);
  for (const row of rows) assert.ok([...row].length <= COLUMNS, `${[...row].length} columns: ${row}`);
}

describe("valora --help", () => {
  test("lists every command and every common option on one screen, with an example", async () => {
    const { status, stdout, stderr } = await run(["--help"]);
    assert.equal(status, 0);
    assert.equal(stderr, "");
    assertFits(stdout);
    for (const command of Object.keys(PROMISED)) assert.match(stdout, new RegExp(`^ +${command} `, "m"));
    for (const option of words(COMMON)) assert.match(stdout, new RegExp(`--${option}\\b`));
    assert.match(stdout, /Example:\n +valora /);
  });

  test("is what valora alone prints, to standard error and with exit status 2", async () => {
    const [help, alone] = await Promise.all([run(["--help"]), run([])]);
    assert.equal(alone.status, 2);
    assert.equal(alone.stdout, "");
    assert.equal(alone.stderr, help.stdout);
  });

  test("has a --version beside it that prints the version alone", async () => {
    const { status, stdout } = await run(["--version"]);
    assert.equal(status, 0);
    assert.match(stdout, /^\d+\.\d+\.\d+\n$/);
  });
});

for (const [command, options] of Object.entries(PROMISED)) {
  test(`valora ${command} --help names each of its options on one screen and shows an example`, async () => {
    const { status, stdout, stderr } = await run([command, "--help"]);
    assert.equal(status, 0);
    assert.equal(stderr, "");
    assertFits(stdout);
    for (const option of words(options)) assert.match(stdout, new RegExp(`^ +--${option}\\b`, "m"));
    assert.match(stdout, new RegExp(`Example:\\n(.*\\n)*? +.*valora ${command}`));
    assert.equal((await run(["help", command])).stdout, stdout);
    assert.equal((await run([command, "--threads", "2", "-h"])).stdout, stdout);
  });
}
