// Live updates, and opening a message without leaving the page. Without this file the page works and is
// reloaded by hand.
"use strict";
(() => {
  const ANNOUNCED_EVERY_MS = 10_000;
  const main = document.querySelector("main");
  const live = document.getElementById("live");
  const pause = document.getElementById("pause");
  const announce = document.getElementById("announce");
  const title = document.title;

  const page = async (path) => {
    const answer = await fetch(path, { headers: { Accept: "text/html" } });
    if (!answer.ok) throw new Error(path + ": " + answer.status);
    // Rendered and escaped by the same templates as the page itself.
    return new DOMParser().parseFromString(await answer.text(), "text/html");
  };

  // What each element was when the server gave it.
  const given = new WeakMap();
  const html = (element) => {
    if (!given.has(element)) given.set(element, element.outerHTML);
    return given.get(element);
  };
  document.querySelectorAll("[data-key]").forEach(html);

  // Puts in what is new, and leaves alone what is not: it may have the focus, or be unfolded.
  const update = (region, fresh) => {
    const keyed = (root) => [...root.querySelectorAll("[data-key]")];
    const known = new Map(keyed(region).map((element) => [element.dataset.key, element]));
    const list = fresh.firstElementChild;
    keyed(fresh).forEach(html);
    if (!region.firstElementChild || region.firstElementChild.tagName !== list?.tagName) {
      keyed(fresh).forEach((element) => element.classList.add("new"));
      region.replaceChildren(...fresh.childNodes);
      return keyed(region);
    }
    const came = [];
    const wanted = keyed(fresh).map((element) => {
      const old = known.get(element.dataset.key);
      if (old && html(old) === html(element)) return old;
      came.push(element);
      element.classList.add("new");
      return element;
    });
    const home = known.values().next().value?.parentElement ?? region;
    wanted.forEach((element, at) => {
      if (home.children[at] !== element) home.insertBefore(element, home.children[at] ?? null);
    });
    while (home.children.length > wanted.length) home.lastElementChild.remove();
    return came;
  };

  let busy = false;
  let again = false;
  const refresh = async () => {
    if (busy) { again = true; return; }
    busy = true;
    try {
      const message = main.dataset.message;
      const news = await page("/demo/news" + (message ? "?message=" + encodeURIComponent(message) : ""));
      for (const id of ["signs", "messages", "activity"]) {
        const came = update(document.getElementById(id), news.getElementById(id));
        if (id === "activity") tell(came);
      }
      const people = document.querySelectorAll("#activity li.person").length;
      document.title = people ? "(" + people + ") " + title : title;
    } catch {
      // The stream says whether the demo is still there.
    } finally {
      busy = false;
      if (again) { again = false; refresh(); }
    }
  };

  // For those who cannot see it: not more often than they can listen to.
  let untold = [];
  let told = 0;
  let timer = null;
  const say = () => {
    timer = null;
    told = Date.now();
    if (announce) announce.textContent = untold.slice(-3).join(" ");
    untold = [];
  };
  const tell = (came) => {
    const sentence = (element) => {
      const of = (selector) => element.querySelector(selector)?.textContent ?? "";
      return of(".say") + ", " + of(".verdict") + ".";
    };
    untold.push(...came.filter((element) => element.matches("li")).map(sentence).reverse());
    if (untold.length && !timer) timer = setTimeout(say, Math.max(0, told + ANNOUNCED_EVERY_MS - Date.now()));
  };

  // Live, until somebody would rather read in peace.
  let source = null;
  const state = (text, on) => { live.textContent = text; live.classList.toggle("on", on); };
  const listen = () => {
    source = new EventSource("/demo/live");
    source.addEventListener("seen", refresh);
    source.onopen = () => state("Live", true);
    source.onerror = () => state("The demo does not answer; trying again", false);
    pause.textContent = "Pause";
  };
  const rest = () => {
    source.close();
    source = null;
    state("Paused", false);
    pause.textContent = "Go on";
  };
  pause.hidden = false;
  pause.addEventListener("click", () => (source ? rest() : listen()));
  listen();

  // Opening and closing in place; the link does the same by loading the page anew.
  document.addEventListener("click", async (event) => {
    const link = event.target.closest("a[data-reading]");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
    event.preventDefault();
    try {
      const fresh = (await page(link.href)).getElementById("reading");
      document.getElementById("reading").replaceWith(document.adoptNode(fresh));
      history.replaceState(null, "", link.href);
      fresh.querySelector("iframe, pre, a.break")?.focus({ preventScroll: true });
    } catch {
      location.assign(link.href);
    }
  });

  for (const button of document.querySelectorAll("[data-copy]")) {
    if (!navigator.clipboard) continue;
    button.hidden = false;
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(document.getElementById(button.dataset.copy).textContent);
      button.textContent = "Copied";
    });
  }
})();
