/** A headless Chromium of the system, where there is one. */
import { existsSync } from "node:fs";
import { type Browser, chromium } from "playwright-core";

const PLACES = [
  process.env.VALORA_CHROMIUM,
  "/usr/bin/chromium",
  "/usr/bin/chromium-browser",
  "/usr/bin/google-chrome",
  "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
];

export const CHROMIUM = PLACES.find((path) => path !== undefined && existsSync(path));

/** Why the tests in a browser are left out; false where they run. */
export const NO_CHROMIUM =
  CHROMIUM === undefined ? "no Chromium here (apt install chromium, or VALORA_CHROMIUM)" : false;

export async function openBrowser(): Promise<Browser> {
  return chromium.launch({ executablePath: CHROMIUM!, args: ["--no-sandbox", "--disable-gpu"] });
}
