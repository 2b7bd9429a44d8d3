/**
 * The file of results: one record for each (task, contender, round), kept after every one of them, so that a run that
 * was cut off goes on where it stopped; and the arithmetic of medians and ratios over them.
 */
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { disagreement } from "./agree.mjs";

export class Results {
  /**
   * Opens what is there, or starts.
   *
   * @param settings everything that a timing depends on; a file made under others is not continued
   * @throws an Error where the file holds the results of other settings
   */
  constructor(path, settings, facts = {}) {
    this.path = path;
    this.data = existsSync(path) ? JSON.parse(readFileSync(path, "utf8")) : { settings, ...facts, records: [] };
    for (const [name, value] of Object.entries(settings)) {
      const before = this.data.settings[name];
      if (JSON.stringify(before) === JSON.stringify(value)) continue;
      throw new Error(
        `${path} was made with ${name} ${JSON.stringify(before)}, not ${JSON.stringify(value)}: name another file with --results, or remove it`,
      );
    }
  }

  get records() {
    return this.data.records;
  }

  find(task, contender, round) {
    return this.records.find((r) => r.task === task && r.contender === contender && r.round === round);
  }

  /** Adds a record and keeps the file. */
  add(record) {
    this.data.records.push(record);
    this.save();
  }

  save() {
    mkdirSync(dirname(this.path), { recursive: true });
    const draft = `${this.path}.${process.pid}.tmp`;
    writeFileSync(draft, `${JSON.stringify(this.data, null, 1)}\n`);
    renameSync(draft, this.path);
  }
}

/** Between the neighbours in proportion. */
export function quantile(values, share) {
  const sorted = [...values].sort((a, b) => a - b);
  const at = share * (sorted.length - 1);
  const below = sorted[Math.floor(at)];
  return below + (at - Math.floor(at)) * (sorted[Math.ceil(at)] - below);
}

export const median = (values) => quantile(values, 0.5);

/** Distance of the quartiles in percent of the median. */
export const spreadPercent = (values) => (100 * (quantile(values, 0.75) - quantile(values, 0.25))) / median(values);

/** Units of work a second. */
export const rateOf = (record) => record.work / record.seconds;

/**
 * One row for each contender that has records. `ratio` is how many times as fast valora is: the median over rounds of the
 * two rates of one round, which the machine's moods leave alone as far as that is possible. It is null, and `refused` says
 * why, where the answers disagree in any round; it is null for the contender that others are compared with, too.
 */
export function rowsOf(task, records) {
  const of = (name) => records.filter((record) => record.task === task.name && record.contender === name);
  return task.contenders.flatMap((contender) => {
    const own = of(contender.name);
    if (own.length === 0) return [];
    const pairs = of(contender.against).flatMap((ours) => {
      const theirs = own.find(({ round }) => round === ours.round);
      return theirs === undefined ? [] : [{ ours, theirs }];
    });
    const refused = contender.against === contender.name ? null : refusal(task, contender, pairs);
    const ratios = pairs.map(({ ours, theirs }) => rateOf(ours) / rateOf(theirs));
    const comparable = contender.against !== contender.name && refused === null && ratios.length > 0;
    const known = (values) => values.filter((value) => value !== null && value !== undefined);
    const middle = (values) => (known(values).length === 0 ? null : median(known(values)));
    return [
      {
        task: task.name,
        contender: contender.name,
        against: contender.against,
        unit: task.unit,
        rounds: own.length,
        rate: median(own.map(rateOf)),
        spread_percent: spreadPercent(own.map(rateOf)),
        ratio: comparable ? median(ratios) : null,
        ratio_low: comparable ? Math.min(...ratios) : null,
        ratio_high: comparable ? Math.max(...ratios) : null,
        refused,
        startup_seconds: middle(own.map((record) => record.startup_seconds)),
        peak_rss_bytes: middle(own.map((record) => record.peak_rss_bytes)),
        machine_gflops: middle(own.map((record) => record.machine_gflops)),
      },
    ];
  });
}

function refusal(task, { precision, against }, pairs) {
  if (pairs.length === 0) return `nothing of ${against} to compare with`;
  for (const { ours, theirs } of pairs) {
    const due = (ours.work * theirs.answers.length) / ours.answers.length;
    if (theirs.work !== due) return `round ${ours.round}, it counts ${theirs.work} ${task.unit} where there are ${due}`;
    if (precision === null) continue;
    const message = disagreement(task.kind, ours, theirs, precision);
    if (message !== null) return `round ${ours.round}, ${message}`;
  }
  return null;
}
