// The live parts of a page, nothing else: without this script a page is read anew to see what has changed.
"use strict";
(() => {
  const events = document.body.dataset.events;
  const said = document.getElementById("said");
  const minutes = -new Date().getTimezoneOffset();
  const clock = document.getElementById("clock");
  if (clock && minutes !== 0) {
    const two = number => String(Math.trunc(Math.abs(number))).padStart(2, "0");
    clock.textContent = ` (your clock: UTC${minutes < 0 ? "−" : "+"}${two(minutes / 60)}:${two(minutes % 60)})`;
  }

  // A form is sent once: a second click would only be refused.
  document.addEventListener("submit", event => {
    if (event.target.method !== "post") return;
    for (const button of event.target.querySelectorAll("button")) setTimeout(() => { button.disabled = true; });
  });
  addEventListener("pageshow", () => {
    for (const button of document.querySelectorAll("form[method=post] button")) button.disabled = false;
  });

  // Replaces a part by its new form, and leaves the keyboard where it was.
  const swap = text => {
    const holder = document.createElement("template");
    holder.innerHTML = text;
    const fresh = holder.content.firstElementChild;
    const old = fresh && document.getElementById(fresh.id);
    if (!old) return;
    const active = old.contains(document.activeElement) ? document.activeElement : null;
    const place = active && active.getAttribute("href");
    const scrolled = [...old.querySelectorAll(".scroll")].map(box => box.scrollLeft);
    old.replaceWith(fresh);
    fresh.querySelectorAll(".scroll").forEach((box, at) => { box.scrollLeft = scrolled[at] || 0; });
    if (!active) return;
    const same = place ? [...fresh.querySelectorAll("a[href]")].find(link => link.getAttribute("href") === place) : fresh.querySelector(".scroll");
    if (same) same.focus({ preventScroll: true });
  };

  let stream = null;
  const follow = () => {
    if (!events || stream || document.hidden) return;
    stream = new EventSource(events);
    stream.addEventListener("part", event => swap(event.data));
    stream.addEventListener("said", event => { said.textContent = event.data; });
    // The session has ended, or the server will not say more: the browser asks no further.
    stream.addEventListener("end", () => { stream.close(); });
  };
  const leave = () => { if (stream) { stream.close(); stream = null; } };
  document.addEventListener("visibilitychange", () => { document.hidden ? leave() : follow(); });
  addEventListener("pagehide", leave);
  addEventListener("pageshow", follow);
  follow();
})();
