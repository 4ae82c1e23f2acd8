// Draws each mail before and after rewriting in headless Chromium, at the widths of a desktop and a phone, and compares.
//
//   node render.mjs FOLDER PICTURES
//
// FOLDER/pairs.json is [{name, charset, before, after, pixel}]: `before` and `after` are files in FOLDER with the decoded
// octets of the part, `pixel` is the URL that drawing the second must ask for once, or null. Prints as JSON how many `shots`
// were taken, what is `differing`, which `pixels` were not asked for once, and which
// `failures` of Chromium were got over; pictures of what differs go to PICTURES.
//
// Needs `npm ci` and Chromium: $CHROMIUM, or on the PATH.
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { compare, decode, encode } from "./png.mjs";
import { Screen, launch } from "./screen.mjs";

const WIDTHS = [800, 375];
const TABS = 3;
const ATTEMPTS = 4;

const [folder, pictures] = process.argv.slice(2);
const pairs = JSON.parse(readFileSync(join(folder, "pairs.json"), "utf8"));
rmSync(pictures, { recursive: true, force: true });
mkdirSync(pictures, { recursive: true });

const report = { shots: 0, differing: [], pixels: [], failures: [] };
const browser = await launch();
const queue = pairs.values();
await Promise.all(Array.from({ length: TABS }, work));
await browser.close();
process.stdout.write(JSON.stringify(report));

async function work() {
  let screen = await Screen.open(browser);
  const draw = async (file, charset) => {
    for (let attempt = 1; ; attempt++) {
      try {
        return await screen.draw(readFileSync(join(folder, file)), charset, WIDTHS);
      } catch (error) {
        // On a busy machine Chromium now and then fails to take a picture; a tab of its own can.
        if (attempt === ATTEMPTS) throw error;
        report.failures.push(`${file}: ${error.message}`);
        await screen.close();
        screen = await Screen.open(browser);
      }
    }
  };
  for (const { name, charset, before, after, pixel } of queue) {
    const was = await draw(before, charset);
    const is = await draw(after, charset);
    const asked = screen.asked.filter((url) => url === pixel).length;
    if (pixel && asked !== 1) report.pixels.push({ name, asked });
    WIDTHS.forEach((width, at) => judge(name, width, was[at], is[at]));
  }
}

function judge(name, width, before, after) {
  report.shots += 2;
  if (before.equals(after)) return;
  const [was, is] = [decode(before), decode(after)];
  const { count, box, picture } = compare(was, is);
  if (count === 0) return;
  const size = ({ width, height }) => `${width}x${height}`;
  const where = `from ${box.left},${box.top} to ${box.right},${box.bottom}`;
  report.differing.push({ name, how: `at width ${width}, ${count} pixels ${where}; ${size(was)} became ${size(is)}` });
  const files = { before, after, difference: encode(picture) };
  for (const [what, png] of Object.entries(files)) writeFileSync(join(pictures, `${name}.${width}.${what}.png`), png);
}
