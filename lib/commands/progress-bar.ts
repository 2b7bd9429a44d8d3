/** The progress bar of a terminal: label, bar, share, count, rate, time left, and a few words from the work itself. */
import { createRequire } from "node:module";
import type { Progress } from "./context.js";

/** Seconds between redraws of the time left while nothing arrives; ten a second would only flicker. */
const FRAMES_PER_SECOND = 8;

/** @param from what was done before, by an earlier run: it fills the bar and does not count for the rate */
export function startBar(
  stream: NodeJS.WritableStream,
  label: string,
  unit: string,
  total: number | undefined,
  from: number,
): Progress {
  const started = performance.now();
  // Loaded here: a help screen has no use for it.
  const cliProgress = createRequire(import.meta.url)("cli-progress") as typeof import("cli-progress");
  const bar = new cliProgress.SingleBar({
    stream,
    fps: FRAMES_PER_SECOND,
    hideCursor: true,
    clearOnComplete: true,
    gracefulExit: false,
    linewrap: false,
    format: (_options, { value, total, progress }, payload: { detail: string }) => {
      const seconds = Math.max(1e-3, (performance.now() - started) / 1000);
      const rate = (value - from) / seconds;
      const width = 20;
      const filled = Math.round(Math.min(1, progress) * width);
      const known = total > 0;
      const shape = known ? `${"█".repeat(filled)}${"░".repeat(width - filled)} ${Math.floor(progress * 100)} %  ` : "";
      const count = known ? `${format(value)}/${format(total)}` : format(value);
      const left = known && rate > 0 ? `  ${formatSeconds((total - value) / rate)} left` : "";
      return `${label}  ${shape}${count} ${unit}  ${format(rate)}/s${left}${payload.detail === "" ? "" : `  ${payload.detail}`}`;
    },
  });
  bar.start(total ?? 0, from, { detail: "" });
  return {
    update: (done, detail) => bar.update(done, { detail: detail ?? "" }),
    setTotal: (value) => bar.setTotal(value),
    stop: () => bar.stop(),
  };
}

/** 3 significant digits below 1000, grouped digits above. */
function format(value: number): string {
  if (Number.isInteger(value)) return value.toLocaleString("en");
  return value >= 100 ? Math.round(value).toLocaleString("en") : value.toPrecision(3);
}

/** 75 → "1 min 15 s". */
export function formatSeconds(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
}
