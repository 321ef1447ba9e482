// Puts what the server renders in the place of what it rendered a second ago. Without this script a page is as it was when it was asked for.
"use strict";
const live = document.querySelector("[data-live]");
if (live) {
  const events = new EventSource(live.dataset.live);
  const lost = document.getElementById("lost");
  let silence;
  const heard = () => { lost.hidden = true; clearTimeout(silence); silence = setTimeout(() => { lost.hidden = false; }, 5000); };
  events.onmessage = (event) => {
    live.innerHTML = event.data;
    heard();
    // It changes no more, and may have a form in it that somebody fills in.
    if (live.querySelector("[data-ended]")) { events.close(); clearTimeout(silence); }
  };
  heard();
}
document.addEventListener("keydown", (event) => {
  if (event.target.closest("input, button, select, textarea") || event.ctrlKey || event.metaKey || event.altKey) { return; }
  const link = document.querySelector(`a[data-key="${CSS.escape(event.key)}"]`);
  if (link) { link.click(); }
});
