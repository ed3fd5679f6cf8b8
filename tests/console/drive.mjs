// Drives the console in a real Chromium, as people use it. Reads a plan (JSON) from stdin, prints what it found (JSON);
// ends with 1 and says why when something is not as it should be. tests/suite/console.rs makes the plan.
import { execSync } from "node:child_process";
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";

const home = process.env.HELENUS_TEST_CONSOLE_MODULES;
const require = createRequire(`${home}/package.json`);
const { chromium } = require("playwright-core");
const axeSource = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");

const plan = JSON.parse(readFileSync(0, "utf8"));
const problems = [];
const found = { pages: {}, steps: [] };
const check = (is, what) => { if (!is) problems.push(what); return is; };
const step = what => { found.steps.push(what); };

const browser = await chromium.launch({ executablePath: process.env.HELENUS_TEST_CHROMIUM || execSync("command -v chromium").toString().trim(), args: ["--no-sandbox", "--disable-dev-shm-usage"] });

// A browser of its own: nothing is shared with another reader. What its console says counts as a problem.
async function reader(options = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, ...options });
  context.setDefaultTimeout(20000);
  const page = await context.newPage();
  page.on("console", said => { if (said.type() === "error" && !page.expectsErrors) problems.push(`${page.url()}: console: ${said.text()}`); });
  page.on("pageerror", error => problems.push(`${page.url()}: ${error.message}`));
  page.on("dialog", dialog => { problems.push(`${page.url()}: a script ran: ${dialog.message()}`); dialog.dismiss(); });
  return page;
}

async function logIn(page, token) {
  await page.goto(`${plan.url}/login`);
  await page.fill("#token", token);
  await page.press("#token", "Enter");
  await page.waitForURL(url => url.pathname === "/");
}

const everyRule = { type: "tag", values: ["wcag2a", "wcag2aa", "wcag21aa", "wcag22aa", "best-practice"] };
// What another theme and another width can change; the rest is the same page.
const rulesOfLooks = { type: "rule", values: ["color-contrast", "target-size", "scrollable-region-focusable", "link-in-text-block", "focus-order-semantics"] };

async function accessible(page, where, runOnly = everyRule) {
  await page.evaluate(axeSource);
  const result = await page.evaluate(runOnly => window.axe.run(document, { runOnly, resultTypes: ["violations"] }), runOnly);
  const least = runOnly === everyRule ? 15 : 0;
  check(result.passes.length > least, `${where}: axe looked at ${result.passes.length} rules only`);
  for (const violation of result.violations) {
    const nodes = violation.nodes.slice(0, 3).map(node => `${node.html.slice(0, 160)} [${node.failureSummary?.split("\n").slice(1, 3).join(" ")}]`).join(" | ");
    problems.push(`${where}: axe: ${violation.id}: ${nodes}`);
  }
}

async function fits(page, where) {
  const width = await page.evaluate(() => [document.documentElement.scrollWidth, window.innerWidth]);
  check(width[0] <= width[1], `${where}: ${width[0]} px wide in ${width[1]} px`);
}

async function status(page, path, accept = [200]) {
  const answer = await page.goto(plan.url + path);
  check(answer && accept.includes(answer.status()), `${path}: status ${answer && answer.status()}`);
  return answer;
}

// Follows a link; what comes after it sees the page that it leads to.
async function follow(page, link) {
  await Promise.all([page.waitForNavigation(), page.click(link)]);
}

const main = page => page.locator("main").innerText();
async function expects(page, text, where) {
  const said = await main(page);
  check(said.includes(text), `${where}: no "${text}" in: ${said.slice(0, 600)}`);
}

// Waits until the page says so, by itself: it is not loaded again.
async function becomes(page, pattern, where, timeout = 30000) {
  const marked = await page.evaluate(() => { window.isSamePage = true; return true; });
  try {
    await page.waitForFunction(source => new RegExp(source).test(document.querySelector("main").innerText), pattern, { timeout });
  } catch {
    problems.push(`${where}: never /${pattern}/: ${(await main(page)).slice(0, 600)}`);
    return;
  }
  check(marked && await page.evaluate(() => window.isSamePage === true), `${where}: the page was loaded again`);
}

// Opens a form, gives a reason, sends it.
async function act(page, path, why, choose = {}) {
  await status(page, path);
  await expects(page, "What will happen", path);
  for (const [name, value] of Object.entries(choose)) await page.selectOption(`#${name}`, value);
  await page.fill("#why", why);
  const [answer] = await Promise.all([page.waitForNavigation(), page.click("button.main")]);
  return answer;
}

const acts = {
  // Every page, in both themes and on a telephone, by everybody's means.
  async pages() {
    const wide = await reader();
    await logIn(wide, plan.tokens.all);
    const dark = await reader({ viewport: { width: 360, height: 740 }, colorScheme: "dark" });
    await logIn(dark, plan.tokens.all);
    for (const path of plan.pages) {
      await status(wide, path);
      await accessible(wide, `${path} (wide, light)`);
      await fits(wide, `${path} (wide)`);
      const scripts = await wide.locator("script").count();
      check(scripts === 1, `${path}: ${scripts} scripts`);
      await status(dark, path);
      await accessible(dark, `${path} (360 px, dark)`, rulesOfLooks);
      await fits(dark, `${path} (360 px)`);
      step(path);
    }
    await wide.context().close();
    await dark.context().close();
  },

  // What fill.py wrote, in the browser as it is written in the tables.
  async large() {
    const page = await reader();
    await logIn(page, plan.tokens.all);
    await expects(page, "Needs attention: 10 jobs whose last run failed, 1 paused stream, 300 open alarms.", "500 jobs");
    const first = await page.locator("#live-jobs tbody tr").allInnerTexts();
    check(first.length === 100, `a page of jobs has ${first.length} rows`);
    for (const name of [`o'brien "ltd"`, "réservé à la clinique", "سجل المرضى", "<script>alert(1)</script>", "名前"]) {
      await status(page, `/?jobs.q=${encodeURIComponent(name)}`);
      await expects(page, name, "a job found by its name");
      await follow(page, `#live-jobs a:has-text(${JSON.stringify(name)}) >> nth=0`);
      check(await page.locator("h1").innerText() === name, `the page of ${name}: ${await page.locator("h1").innerText()}`);
    }
    await status(page, "/jobs/job_000");
    await follow(page, "text=Older runs");
    await expects(page, "Rows 1 to 100 of 1", "older runs");
    // A long text is folded in its row, and whole when it is opened.
    await status(page, "/jobs/job_003/stream");
    await expects(page, "9 of 10 messages were rejected", "a paused stream");
    await follow(page, "text=Resume the stream");
    await expects(page, "is not paused", "nothing pauses it: it has no such event");
    await page.context().close();
  },

  async without_javascript() {
    const page = await reader({ javaScriptEnabled: false });
    await logIn(page, plan.tokens.all);
    for (const path of plan.pages) await status(page, path);
    // A table is filtered and sorted by its URL.
    await status(page, "/jobs/tumour");
    await page.fill("#runs-q", "succeeded");
    await Promise.all([page.waitForNavigation(), page.press("#runs-q", "Enter")]);
    check(page.url().includes("runs.q=succeeded"), `filter: ${page.url()}`);
    await follow(page, "#live-runs thead a:has-text('Rows read')");
    check(page.url().includes("runs.sort=rows"), `sort: ${page.url()}`);
    const [download] = await Promise.all([page.waitForEvent("download"), page.click("a.download >> nth=0")]);
    check(download.suggestedFilename().endsWith(".csv"), `download: ${download.suggestedFilename()}`);
    const answer = await act(page, "/jobs/tumour/pause", "without a script");
    check(answer.status() === 200 && page.url().endsWith("/jobs/tumour"), `pause: ${answer.status()} ${page.url()}`);
    await expects(page, "without a script", "paused");
    await act(page, "/jobs/tumour/resume", "and back");
    await page.context().close();
  },

  // Only the keyboard: logging in, finding a job, asking for a run.
  async keyboard() {
    const page = await reader();
    await page.goto(`${plan.url}/jobs/tumour`);
    check(page.url().includes("/login?next="), `not led to the login: ${page.url()}`);
    await page.keyboard.type(plan.tokens.all);
    await page.keyboard.press("Enter");
    await page.waitForURL(url => url.pathname === "/jobs/tumour");
    await page.keyboard.press("Tab");
    check(await page.evaluate(() => document.activeElement.className === "skip"), "the first stop is not the skip link");
    const seen = [];
    for (let at = 0; at < 60; at++) {
      await page.keyboard.press("Tab");
      const name = await page.evaluate(() => document.activeElement.innerText || document.activeElement.getAttribute("aria-label") || "");
      seen.push(name.trim());
      if (name.trim() === "Run now") break;
    }
    check(seen.at(-1) === "Run now", `the keyboard does not reach "Run now": ${seen.join(", ")}`);
    await page.keyboard.press("Enter");
    await page.waitForURL(url => url.pathname.endsWith("/run"));
    check(await page.evaluate(() => document.activeElement.id === "why"), "the reason has no focus");
    await page.keyboard.type("by the keyboard");
    await page.keyboard.press("Tab");
    await Promise.all([page.waitForNavigation(), page.keyboard.press("Enter")]);
    check(page.url().includes("/requests/"), `no request: ${page.url()}`);
    await becomes(page, "accepted|joined|done", "the keyboard's request");
    await page.context().close();
  },

  // A run under way: its page moves by itself, and so do the lists.
  async live() {
    const page = await reader();
    await logIn(page, plan.tokens.all);
    await act(page, "/jobs/tumour/run", "to watch it", { scope: "all" });
    await becomes(page, "accepted|joined", "the request");
    await page.click("text=Follow the run");
    await page.waitForURL(url => url.pathname.includes("/runs/"));
    await becomes(page, "[1-9][0-9]* of [0-9]+ splits|succeeded", "progress");
    await becomes(page, "succeeded", "the run's end", 120000);
    await page.context().close();
  },

  async cancel() {
    const page = await reader();
    await logIn(page, plan.tokens.all);
    await status(page, plan.cancel);
    const path = new URL(page.url()).pathname + "/cancel";
    const answer = await act(page, path, "it was a mistake");
    check(answer.status() === 200, `cancel: ${answer.status()}`);
    await becomes(page, "accepted", "the cancellation");
    await status(page, plan.cancel);
    await becomes(page, "cancelled", "the run", 60000);
    const again = await status(page, path);
    check(again.status() === 200, "the form of an ended run");
    await expects(page, "The run ended", "cancelled again");
    check(await page.locator("button.main").count() === 0, "an ended run can be cancelled");
    await page.context().close();
  },

  async acknowledge() {
    const page = await reader();
    await logIn(page, plan.tokens.all);
    await status(page, "/alarms");
    await page.click('#live-alarms a[href$="/acknowledge"] >> nth=0');
    await page.fill("#why", "the new scanner, see ticket 7");
    await Promise.all([page.waitForNavigation(), page.click("button.main")]);
    check(new URL(page.url()).pathname === "/alarms", `acknowledged: ${page.url()}`);
    await becomes(page, "the new scanner, see ticket 7", "the acknowledgement");
    await page.context().close();
  },

  async resume_stream() {
    const page = await reader();
    const other = await reader();
    await logIn(page, plan.tokens.all);
    await logIn(other, plan.tokens.other);
    await status(page, "/jobs/tumour/stream");
    await expects(page, "9 of 10 messages were rejected", "a paused stream");
    await follow(page, "text=Resume the stream");
    await expects(page, "goes on reading where it stopped", "resuming");
    await status(other, "/jobs/tumour/stream/resume");
    await other.fill("#why", "nobody is here");
    await page.fill("#why", "the sensor is replaced");
    await Promise.all([page.waitForNavigation(), page.click("button.main")]);
    check(new URL(page.url()).pathname === "/jobs/tumour/stream", `resumed: ${page.url()}`);
    other.expectsErrors = true; // Chromium notes the 409.
    const [answer] = await Promise.all([other.waitForNavigation(), other.click("button.main")]);
    check(answer.status() === 409, `the second to resume: ${answer.status()}`);
    await expects(other, "was resumed meanwhile. It is not paused now.", "the second to resume");
    await status(page, "/jobs/tumour/stream/resume");
    await expects(page, "is not paused", "resumed twice");
    check(await page.locator("button.main").count() === 0, "a stream that goes on can be resumed");
    await page.context().close();
    await other.context().close();
  },

  async approve() {
    const page = await reader();
    await logIn(page, plan.tokens.all);
    await status(page, "/models/tumour/gates");
    await becomes(page, "passes", "the gate");
    await page.click("text=Approve better");
    await page.fill("#why", "agreed on Monday");
    await Promise.all([page.waitForNavigation(), page.click("button.main")]);
    await becomes(page, "done", "the approval", 60000);
    await status(page, "/models/tumour/aliases");
    await expects(page, "agreed on Monday", "the history");
    await page.context().close();
  },

  async rollback() {
    const page = await reader();
    await logIn(page, plan.tokens.all);
    const answer = await act(page, "/models/tumour/rollback", "worse than before", { coverage: "now" });
    check(answer.status() === 200, `rollback: ${answer.status()}`);
    await becomes(page, "done", "the rollback", 60000);
    await page.context().close();
  },

  // Two people look at the same form; the second is told what moved, and by whom.
  async two_people() {
    const first = await reader();
    const second = await reader();
    await logIn(first, plan.tokens.all);
    await logIn(second, plan.tokens.other);
    const path = "/models/tumour/promote?version=2";
    await status(second, path);
    await second.fill("#why", "mine is better");
    await act(first, path, "the first of two", { coverage: "now" });
    await becomes(first, "done", "the first's promotion", 60000);
    second.expectsErrors = true; // Chromium notes the 409.
    const [answer] = await Promise.all([second.waitForNavigation(), second.click("button.main")]);
    check(answer.status() === 409, `the second: ${answer.status()}`);
    await expects(second, "Something has moved since you looked", "the second");
    await expects(second, `${plan.names.all}@console moved`, "the second");
    await expects(second, "the first of two", "the second");
    await accessible(second, "the refusal");
    await first.context().close();
    await second.context().close();
  },

  async read_only() {
    const page = await reader();
    await logIn(page, plan.tokens.reader);
    await status(page, "/jobs/tumour");
    check(await page.locator(".acts").count() === 0, "a reader is offered actions");
    await expects(page, "Runs by day", "a reader");
    page.expectsErrors = true;
    await status(page, "/jobs/tumour/run", [403]);
    await page.click("text=Log out");
    await page.waitForURL(url => url.pathname === "/login");
    await page.goto(`${plan.url}/jobs`);
    check(page.url().includes("/login") || page.url().includes("/jobs"), page.url());
    await page.context().close();
  },

  // How long pages take, from the request to the whole answer; not judged here.
  async times() {
    const page = await reader();
    await logIn(page, plan.tokens.all);
    for (const path of plan.pages) {
      const times = [];
      let reads = null, bytes = 0;
      for (let at = 0; at < 5; at++) {
        await page.waitForTimeout(1100); // past the cache
        const [ms, size, header, code] = await page.evaluate(async url => {
          const began = performance.now();
          const answer = await fetch(url);
          const text = await answer.text();
          return [performance.now() - began, text.length, answer.headers.get("server-timing"), answer.status];
        }, plan.url + path);
        if (!check(code === 200, `${path}: status ${code}`)) break;
        times.push(ms);
        bytes = size;
        reads = Number(header.match(/desc="(\d+)"/)[1]);
      }
      times.sort((a, b) => a - b);
      found.pages[path] = { median_ms: Math.round(times[2]), max_ms: Math.round(times[4]), bytes, reads };
    }
    await page.context().close();
  },
};

for (const name of plan.acts) {
  try {
    await acts[name]();
  } catch (error) {
    problems.push(`${name}: ${error.message.split("\n").slice(0, 6).join(" / ")}`);
  }
}
await browser.close();
process.stdout.write(JSON.stringify({ problems, found }, null, 1) + "\n");
process.exit(problems.length === 0 ? 0 : 1);
