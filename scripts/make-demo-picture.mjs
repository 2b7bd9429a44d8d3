/**
 * Makes docs/demo-crosstalk.png, the README's picture: the crosstalk matrix of a demo's report page, as a browser shows it.
 *
 *     npm run demo && node scripts/make-demo-picture.mjs valora-demo/report.html
 *
 * Needs a Chromium of the system, /usr/bin/chromium or VALORA_CHROMIUM.
 */
import { resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { chromium } from "playwright-core";

const target = fileURLToPath(new URL("../docs/demo-crosstalk.png", import.meta.url));

const [report = "valora-demo/report.html"] = process.argv.slice(2);
const browser = await chromium.launch({
  executablePath: process.env.VALORA_CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu"],
});
try {
  // Without a script there is nothing to choose or to open, as in a picture.
  const page = await browser.newPage({
    viewport: { width: 1180, height: 900 },
    deviceScaleFactor: 1.5,
    colorScheme: "light",
    javaScriptEnabled: false,
  });
  await page.goto(pathToFileURL(resolve(report)).href);
  await page.locator("#matrix .grid").first().screenshot({ path: target });
} finally {
  await browser.close();
}
