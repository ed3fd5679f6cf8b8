// Takes the pictures of docs/console.md. Arguments: URL, token, folder; further ones are NAME=PATH of pages, instead of the usual ones.
import { execSync } from "node:child_process";
import { createRequire } from "node:module";

const [url, token, folder, ...wanted] = process.argv.slice(2);
const require = createRequire(`${process.env.HELENUS_TEST_CONSOLE_MODULES}/package.json`);
const { chromium } = require("playwright-core");
const browser = await chromium.launch({ executablePath: process.env.HELENUS_TEST_CHROMIUM || execSync("command -v chromium").toString().trim(), args: ["--no-sandbox", "--disable-dev-shm-usage"] });

async function reader(options) {
  const context = await browser.newContext(options);
  const page = await context.newPage();
  await page.goto(`${url}/login`);
  await page.fill("#token", token);
  await page.press("#token", "Enter");
  await page.waitForURL(at => at.pathname === "/");
  return page;
}

const shoot = async (page, path, name, fullPage = false) => {
  await page.goto(url + path);
  await page.waitForTimeout(300);
  await page.screenshot({ path: `${folder}/${name}.png`, fullPage });
};

if (wanted.length > 0) {
  const sizes = { wide: { width: 1200, height: 900 }, narrow: { width: 360, height: 740 } };
  for (const [size, viewport] of Object.entries(sizes)) {
    for (const colorScheme of ["light", "dark"]) {
      const page = await reader({ viewport, colorScheme });
      for (const one of wanted) {
        const [name, ...path] = one.split("=");
        await shoot(page, path.join("="), `${name}-${size}-${colorScheme}`, true);
      }
      await page.context().close();
    }
  }
} else {
  const page = await reader({ viewport: { width: 1100, height: 720 } });
  await shoot(page, "/", "console-jobs");
  await page.goto(`${url}/jobs/tumour`);
  const run = await page.locator("#live-runs tbody tr").filter({ hasNot: page.locator("text=/^0$/ >> nth=5") }).first().locator("th a").getAttribute("href");
  await shoot(page, run, "console-run");
  await page.goto(`${url}/models/tumour`);
  const promote = await page.locator("a:has-text('Promote') >> nth=0").getAttribute("href");
  await shoot(page, promote, "console-promote");
  await shoot(page, "/jobs/tumour/drift/mean%20radius?version=1", "console-drift");
}
await browser.close();
