/** The comparison as a table in Markdown, and the machine's facts above it. */

const HEAD = ["task", "contender", "rate", "spread", "valora is … times as fast", "peak MiB", "start s", "FMA GFLOP/s"];

export function renderTable(data, tasks, rows) {
  const lines = [HEAD, HEAD.map(() => "---"), ...rows.map(cells)].map((row) => `| ${row.join(" | ")} |`);
  const notes = [
    ...rows
      .filter(({ refused }) => refused !== null)
      .map(({ task, contender, refused }) => `No ratio for ${task}: ${contender}: ${refused}.`),
    ...(data.left_out ?? []).map(({ task, contender, reason }) => `Left out: ${task}: ${contender}: ${reason}`),
  ];
  return [
    ...facts(data),
    "",
    ...lines,
    "",
    ...tasks.map(({ name, about }) => `${name}: ${about}.`),
    ...(notes.length > 0 ? ["", ...notes] : []),
    "",
  ].join("\n");
}

function facts({ machine, versions, settings }) {
  const { cpu, cores, isas, date } = machine;
  const peers = Object.entries(versions).map(([name, version]) => `${name} ${version}`);
  return [
    `valora, commit ${settings.commit}, on ${cpu}, ${cores} cores (${isas.join(", ")}), threads: ${settings.threads}, ${date}`,
    `beside ${peers.join(", ")}`,
  ];
}

function cells(row) {
  return [
    row.task,
    row.contender,
    `${row.rate.toPrecision(3)} ${row.unit}/s`,
    row.rounds > 1 ? `${row.spread_percent.toFixed(1)} %` : "one round",
    ratio(row),
    row.peak_rss_bytes === null ? "" : (row.peak_rss_bytes / 2 ** 20).toFixed(0),
    row.startup_seconds === null ? "" : row.startup_seconds.toFixed(2),
    row.machine_gflops === null ? "" : row.machine_gflops.toFixed(0),
  ];
}

function ratio({ ratio, ratio_low, ratio_high, refused, rounds }) {
  if (refused !== null) return "refused";
  if (ratio === null) return "";
  const range = rounds > 1 ? ` (${ratio_low.toFixed(2)} to ${ratio_high.toFixed(2)})` : "";
  return `${ratio.toFixed(2)}${range}`;
}
