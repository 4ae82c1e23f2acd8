// Live updates, and nothing else: without this file the page works and is reloaded by hand.
"use strict";
(() => {
  const live = document.getElementById("live");
  const messages = document.getElementById("messages");
  const activity = document.getElementById("activity");
  const title = document.title;
  let busy = false;
  let again = false;

  const fetchInto = async (element, path) => {
    const answer = await fetch(path, { headers: { Accept: "text/html" } });
    if (answer.ok) {
      const html = await answer.text();
      // Rendered and escaped by the same templates as the page itself.
      if (element.innerHTML !== html) element.innerHTML = html;
    }
  };

  const refresh = async () => {
    if (busy) { again = true; return; }
    busy = true;
    try {
      const open = messages.dataset.open;
      await Promise.all([
        fetchInto(messages, "/demo/messages" + (open ? "?open=" + encodeURIComponent(open) : "")),
        fetchInto(activity, "/demo/activity"),
      ]);
      const people = activity.querySelectorAll("li.person").length;
      document.title = people ? "(" + people + ") " + title : title;
    } finally {
      busy = false;
      if (again) { again = false; refresh(); }
    }
  };

  const source = new EventSource("/demo/live");
  source.addEventListener("seen", refresh);
  source.onopen = () => { live.textContent = "live"; live.className = "live on"; };
  source.onerror = () => { live.textContent = "not live: trying again"; live.className = "live"; };
})();
