// Makes what is shown what the server renders each second, and has keys lead to pages. Without this script a page is as it was when it was asked for.
"use strict";

// Makes `old` what `next` is. What is the same stays as it is: where it is scrolled to, and which details are open.
const become = (old, next) => {
  const [before, after] = [[...old.childNodes], [...next.childNodes]];
  before.slice(after.length).forEach((node) => node.remove());
  after.forEach((node, index) => {
    const there = before[index];
    if (!there) { old.append(node); return; }
    if (there.isEqualNode(node)) { return; }
    if (there.nodeName !== node.nodeName || there.nodeType !== Node.ELEMENT_NODE) { there.replaceWith(node); return; }
    for (const { name } of [...there.attributes]) {
      if (!node.hasAttribute(name) && name !== "open") { there.removeAttribute(name); }
    }
    for (const { name, value } of node.attributes) { there.setAttribute(name, value); }
    become(there, node);
  });
};

const live = document.querySelector("[data-live]");
if (live) {
  const [lost, signedOut, pause] = ["lost", "signed-out", "pause"].map((id) => document.getElementById(id));
  let events, silence, latest, isPaused = false;
  // Whoever is at something in it, with the keyboard or with text that is selected, is not to lose it.
  const isInUse = () => {
    const selection = document.getSelection();
    return live.contains(document.activeElement) || (!selection.isCollapsed && live.contains(selection.anchorNode));
  };
  const show = () => {
    const held = isPaused || isInUse();
    pause.textContent = isPaused ? "Update again" : held ? "Held while you are in it" : "Stop updating";
    pause.setAttribute("aria-pressed", isPaused);
    if (held || latest === undefined) { return; }
    const next = document.createElement("template");
    next.innerHTML = latest;
    latest = undefined;
    become(live, next.content);
    // It changes no more.
    if (live.querySelector("[data-ended]")) { events.onerror = null; events.close(); clearTimeout(silence); pause.hidden = true; }
  };
  const heard = () => { lost.hidden = true; clearTimeout(silence); silence = setTimeout(() => { lost.hidden = false; }, 5000); };
  pause.hidden = false;
  pause.addEventListener("click", () => { isPaused = !isPaused; show(); });
  document.addEventListener("focusout", () => setTimeout(show, 0));
  // What the answer was none for, an event source does not say.
  const refused = async () => {
    const answer = await fetch(live.dataset.live, { cache: "no-store" }).catch(() => undefined);
    answer?.body?.cancel();
    if (answer?.status === 401) {
      clearTimeout(silence);
      lost.hidden = true;
      signedOut.hidden = false;
      return;
    }
    setTimeout(listen, 5000);
  };
  const listen = () => {
    events = new EventSource(live.dataset.live);
    events.onmessage = (event) => { latest = event.data; heard(); show(); };
    // By itself it comes back from what was broken off, but not from an answer that was none.
    events.onerror = () => { if (events.readyState === EventSource.CLOSED) { refused(); } };
  };
  listen();
  heard();
}

// Keys, for whoever wants them: assistive software may need them for itself.
const help = document.getElementById("keys");
if (help) {
  const wanted = document.getElementById("keys-wanted");
  wanted.checked = localStorage.getItem("keys") !== "off";
  wanted.addEventListener("change", () => localStorage.setItem("keys", wanted.checked ? "on" : "off"));
  const open = document.getElementById("keys-open");
  open.hidden = false;
  open.addEventListener("click", () => help.showModal());
  const step = (by) => {
    const links = [...document.querySelectorAll("main tbody a")];
    const next = links[links.indexOf(document.activeElement) + by] ?? links[by > 0 ? 0 : links.length - 1];
    if (next) { next.focus(); }
  };
  const keys = {
    "?": () => help.open ? help.close() : help.showModal(),
    "/": () => document.querySelector("main form input")?.focus(),
    "p": () => document.getElementById("pause").click(),
    "j": () => step(1),
    "k": () => step(-1),
  };
  document.addEventListener("keydown", (event) => {
    if (!wanted.checked || event.ctrlKey || event.metaKey || event.altKey) { return; }
    if (event.target.closest("input:not([type=checkbox]), select, textarea")) { return; }
    const link = document.querySelector(`a[data-key="${CSS.escape(event.key)}"]`);
    const act = keys[event.key] ?? (link && !help.open ? () => link.click() : undefined);
    if (act) { event.preventDefault(); act(); }
  });
}
