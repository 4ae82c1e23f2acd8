// Headless Chromium as a mail program: scripts off, no network, every request answered here or refused.
import { execFileSync } from "node:child_process";
import { chromium } from "playwright-core";
import { encode } from "./png.mjs";

const MAIL = "http://mail.test/";
const HEIGHT = 600;
// Other tests may have the machine at the same time.
const PATIENCE = 120_000;
// The one that crates/track answers with.
const GIF = Buffer.from("47494638396101000100800000ffffff00000021f90401000000002c00000000010001000002024401003b", "hex");
// Any other image: not square, no side of it like another.
const PLACEHOLDER = encode({
  width: 60,
  height: 40,
  pixels: Buffer.from(Array.from({ length: 60 * 40 }, (_, at) => [(at % 60) * 4, Math.floor(at / 60) * 6, 128, 255]).flat()),
});

export function launch() {
  return chromium.launch({
    executablePath: process.env.CHROMIUM ?? find(),
    args: [
      // Root, as in a container, cannot have the sandbox; only our own files are drawn.
      "--no-sandbox",
      "--host-resolver-rules=MAP * ~NOTFOUND",
      "--force-device-scale-factor=1",
      "--hide-scrollbars",
      "--font-render-hinting=none",
      "--disable-lcd-text",
    ],
  });
}

function find() {
  return execFileSync("sh", ["-c", "command -v chromium || command -v chromium-browser || command -v google-chrome"]).toString().trim();
}

// One tab, used for one mail after the other.
export class Screen {
  static async open(browser) {
    const screen = new Screen();
    const context = await browser.newContext({ javaScriptEnabled: false, serviceWorkers: "block", reducedMotion: "reduce" });
    screen.context = context;
    screen.page = await context.newPage();
    screen.page.setDefaultTimeout(PATIENCE);
    screen.devtools = await context.newCDPSession(screen.page);
    await screen.page.route("**/*", (route) => screen.answer(route));
    return screen;
  }

  // Whatever state it is in.
  async close() {
    await this.context.close().catch(() => {});
  }

  // Draws `body`; resolves to a PNG of the whole page for each width. `asked` holds what was asked for.
  async draw(body, charset, widths) {
    this.mail = { contentType: `text/html; charset=${charset}`, body };
    this.asked = [];
    await this.resize(widths[0]);
    await this.page.goto(MAIL, { waitUntil: "load" });
    const shots = [await this.shoot()];
    for (const width of widths.slice(1)) {
      await this.resize(width);
      shots.push(await this.shoot());
    }
    return shots;
  }

  async resize(width) {
    const size = { width, height: HEIGHT, deviceScaleFactor: 1, mobile: false };
    await this.devtools.send("Emulation.setDeviceMetricsOverride", size);
  }

  async shoot() {
    const { cssContentSize } = await this.devtools.send("Page.getLayoutMetrics");
    const { data } = await this.devtools.send("Page.captureScreenshot", {
      format: "png",
      clip: { x: 0, y: 0, width: cssContentSize.width, height: cssContentSize.height, scale: 1 },
      captureBeyondViewport: true,
      optimizeForSpeed: true,
    });
    return Buffer.from(data, "base64");
  }

  async answer(route) {
    const request = route.request();
    const url = request.url();
    this.asked.push(url);
    if (request.isNavigationRequest() && request.frame() === this.page.mainFrame()) {
      // The mail, once. One that leads elsewhere by itself (`meta refresh`) does not.
      const mail = this.mail;
      this.mail = undefined;
      return mail && url === MAIL ? route.fulfill(mail) : route.abort();
    }
    if (url.startsWith("https://t.example.com/o/")) return route.fulfill({ contentType: "image/gif", body: GIF });
    if (request.resourceType() === "image") return route.fulfill({ contentType: "image/png", body: PLACEHOLDER });
    // Frames, style sheets, fonts. Refused, a frame shows the browser's own page, at a moment of its own.
    return route.fulfill({ contentType: "text/html", body: "" });
  }
}
