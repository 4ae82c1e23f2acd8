// The demo's page as a person uses it, in a real browser: node demo.mjs http://127.0.0.1:8080/demo
//
// Prints what was seen; ends with status 0 only if all of it was as it should be. With a folder as second argument
// it leaves the README's two pictures there.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { join } from "node:path";

import axe from "axe-core";
import { chromium } from "playwright-core";

const [url, pictures] = process.argv.slice(2);
assert(url?.startsWith("http://127.0.0.1:"), "the first argument is the page's address");

const OFFER = "https://example.com/offer?no=4711&lang=en";
const PATIENCE_MS = 10_000;
const DESK = { width: 1280, height: 800 };

const began = Date.now();
const step = (what) => console.log(`${((Date.now() - began) / 1000).toFixed(1).padStart(5)} s  ${what}`);

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  // Nothing leaves this computer: no name but this one's address has any meaning.
  args: ["--no-sandbox", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"],
});
// A browser without a screen says so, and is taken for a machine. This one plays a person's.
const major = browser.version().split(".")[0];
const person = {
  viewport: DESK,
  userAgent: `Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/${major}.0.0.0 Safari/537.36`,
};

// Whatever the browser complains about, above all the content security policy.
const complaints = [];
// Whom the page itself asked; what the person goes to by a click is not the page's doing.
const asked = new Set();

const open = async (options) => {
  const context = await browser.newContext({ ...person, ...options });
  context.setDefaultTimeout(PATIENCE_MS);
  const page = await context.newPage();
  page.on("console", (message) => complaints.push(`${message.type()}: ${message.text()}`));
  page.on("pageerror", (error) => complaints.push(`error: ${error}`));
  page.on("request", (request) => asked.add(new URL(request.url()).hostname));
  const answer = await page.goto(url);
  assert.equal(answer.status(), 200);
  assert.match(answer.headers()["content-security-policy"], /^default-src 'none'; script-src 'self'; style-src 'self'/);
  return page;
};

const until = async (what, check) => {
  const limit = Date.now() + PATIENCE_MS;
  for (;;) {
    const seen = await check();
    if (seen) return seen;
    assert(Date.now() < limit, `not in time: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
};

const texts = (page, selector) => page.locator(selector).allInnerTexts();
const event = (page, ...words) =>
  until(`an event with ${words.join(", ")}`, async () =>
    (await texts(page, "#activity li")).find((text) => words.every((word) => text.includes(word))));
const sign = (page, words) => until(`the sign "${words}"`, async () => (await texts(page, "#signs p")).includes(words));
const marks = (page, side) => texts(page, `figure:nth-of-type(${side}) .mark`);

const accessible = async (page, what) => {
  // By the debugger, which the content security policy does not concern.
  await page.evaluate(axe.source);
  const found = await page.evaluate(() => axe.run(document, { iframes: false, preload: false }));
  const violations = found.violations.map(({ id, help, nodes }) => `${id}: ${help}: ${nodes.map((n) => n.html).join(" ")}`);
  assert.deepEqual(violations, [], `axe, ${what}`);
  assert(found.passes.length > 20, "axe looked at the page");
};

try {
  const page = await open({ colorScheme: "light", reducedMotion: "no-preference" });
  await page.evaluate(() => { window.sameAsBefore = true; });
  assert.equal(await page.title(), "Waxseal demo");
  await until("live", async () => (await page.locator("#live").innerText()) === "Live");
  const [written, passedOn] = [await marks(page, 1), await marks(page, 2)];
  assert.deepEqual(written, ["https://example.com/offer?no=4711&amp;lang=en", "https://example.com/terms#delivery"]);
  assert.equal(passedOn.length, 3);
  assert.match(passedOn[0], /^http:\/\/127\.0\.0\.1:\d+\/c\/[\w-]+$/);
  assert.match(passedOn[2], /^<img src="http:\/\/127\.0\.0\.1:\d+\/o\/[\w-]+" [^<>]*>$/);
  await sign(page, "not opened yet");
  await event(page, "li@demo.test", "opened", "Hello", "machine", "Apple's Mail Privacy Protection");
  await accessible(page, "light, closed");
  step("the page, its marks, the machine's open");

  await page.getByRole("link", { name: "Open it as Jo" }).click();
  const mail = page.frameLocator("#reading iframe");
  await mail.getByText("Dear Jo").waitFor();
  await event(page, "jo@demo.test", "opened", "Offer 4711", "person", `Chrome on Linux`);
  await sign(page, "opened by a person, once");
  step("opened in its frame, seen live");

  const context = page.context();
  const gone = context.waitForEvent("request", (request) => request.url() === OFFER);
  await mail.getByRole("link", { name: "our offer for forty seals" }).click();
  const from = (await gone).redirectedFrom();
  assert.equal(from?.url(), passedOn[0], "the browser went to where the link led, by way of the tracked link");
  assert.equal((await from.response()).status(), 302);
  await event(page, "jo@demo.test", "clicked", OFFER, "person", "Chrome on Linux");
  await sign(page, "clicked by a person, once");
  await until("the list says so", async () => (await texts(page, "#messages li")).some((t) => /Offer 4711[^]*clicked by a person/.test(t)));
  assert.equal(await page.title(), "(2) Waxseal demo");
  assert(await page.evaluate(() => window.sameAsBefore), "the page was not loaded again");
  step("clicked, redirected, seen live");

  await page.bringToFront();
  for (const colorScheme of ["light", "dark"]) {
    await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
    await accessible(page, `${colorScheme}, opened`);
    const clip = { x: 0, y: 0, width: DESK.width, height: 772 };
    if (pictures) await page.screenshot({ path: join(pictures, `demo-${colorScheme}.png`), clip });
  }
  assert.equal(await page.evaluate(() => document.getAnimations().filter((a) => a.effect.getTiming().duration > 0).length), 0);
  for (const [width, height] of [[640, 400], [320, 640]]) {
    await page.setViewportSize({ width, height });
    const sideways = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
    assert(sideways <= 0, `${sideways} px stand out sideways at ${width} px`);
    await accessible(page, `${width} px wide`);
  }
  await page.setViewportSize(DESK);
  step("both themes, 200 % and 320 px, without anything moving");

  // The command on the page is true.
  execFileSync("sh", ["-c", await page.locator("#curl").innerText()], { stdio: ["ignore", "ignore", "inherit"] });
  const own = page.locator("#messages li", { hasText: "My own" });
  await own.waitFor();
  await own.getByText("nothing yet").waitFor();
  await own.getByRole("link").click();
  assert.deepEqual(await marks(page, 1), ["https://example.com/mine"]);
  assert.equal((await marks(page, 2)).length, 2);
  step("a message of one's own, by curl, compared");

  await page.getByLabel("links", { exact: true }).uncheck();
  await page.getByRole("button", { name: "Send" }).click();
  await page.getByText("On its way.").waitFor();
  const seal = page.getByRole("link", { name: "Open it as Jo" });
  assert.equal(await seal.count(), 0, "what was sent a moment ago cannot be opened yet");
  const asIfOpened = await context.request.get(`${page.url()}&open=yes`);
  assert(!(await asIfOpened.text()).includes("<iframe"), "not by its address either");
  assert.deepEqual((await marks(page, 2)).map((mark) => mark.slice(0, 4)), ["<img"]);
  await sign(page, "clicks are not tracked");
  await seal.waitFor();
  // By the keyboard: to the seal, and break it.
  await seal.focus();
  await page.keyboard.press("Enter");
  await page.frameLocator("#reading iframe").getByText("Dear Jo").waitFor();
  assert.equal(await page.evaluate(() => document.activeElement.tagName), "IFRAME");
  await sign(page, "opened by a person, once");
  step("sent again with opens only, arrived, opened by the keyboard");

  await page.getByRole("link", { name: "Show Minutes of Monday" }).click();
  await page.getByRole("link", { name: "Open it as one of the 3" }).click();
  await event(page, "One of 3 people", "opened", "Minutes of Monday", "person");
  await until("one of 3", async () => (await texts(page, "#messages li")).some((t) => /Minutes[^]*opened by one of 3/.test(t)));
  await page.getByRole("link", { name: "Show Plain words" }).click();
  await page.getByRole("link", { name: "Open it as Kim" }).click();
  await page.getByText("nobody can tell").waitFor();
  assert.equal(await page.locator("iframe").count(), 0);
  assert.match((await texts(page, ".notes"))[0], /plain text/);
  step("the one to three people, and the plain one");

  await page.getByRole("button", { name: "Pause" }).click();
  await until("paused", async () => (await page.locator("#live").innerText()) === "Paused");
  await page.getByRole("button", { name: "Go on" }).click();
  await until("live again", async () => (await page.locator("#live").innerText()) === "Live");

  const still = await open({ javaScriptEnabled: false });
  await still.getByRole("link", { name: "Show Offer 4711" }).last().click();
  await still.getByRole("link", { name: "Open it as Jo" }).click();
  await still.frameLocator("#reading iframe").getByText("Dear Jo").waitFor();
  await until("the open, by loading again", async () => {
    await still.goto(url);
    return (await texts(still, "#activity li")).filter((text) => text.includes("Offer 4711") && text.includes("opened")).length === 3;
  });
  step("paused, gone on, and all of it without script");

  assert.deepEqual(complaints, [], "the browser's console is empty");
  assert.deepEqual([...asked], ["127.0.0.1"], "the page asks nobody else");
} finally {
  await browser.close();
}
