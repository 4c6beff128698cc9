// What the pages do beyond htmx, all of it by data-attributes; each page works without it.
//   data-toggle="ID"        opens and closes that element (the menu on a phone)
//   data-copy="SELECTOR"    copies that element's text; data-copy-text="…" copies the text itself
//   data-copy-code          in a .code: copies its <pre>
//   data-reveal             a password that can be looked at
//   data-confirm="…"        asks before a form is sent
//   data-send               a textarea: Enter sends its form, Shift+Enter starts a new line
//   data-fill="…"           puts a text into the textarea with data-send
//   data-follow             a scrolling element that stays at its end while it grows, unless the reader scrolled up
//   data-key="new-chat"     reached by a keyboard shortcut
//   data-print, data-dialog="ID"   prints; opens that <dialog>
//   data-quiet              what this element asks for by itself may fail without a word
//   data-compare="ID"       a form whose two answers are shown in that element as they come
"use strict";

const one = (selector, within = document) => within.querySelector(selector);

document.addEventListener("click", (event) => {
  const target = event.target.closest("[data-toggle], [data-copy], [data-copy-text], [data-fill], [data-dialog], [data-close], [data-print], [data-copy-code]");
  if (!target) {
    const menu = one(".sidebar.open");
    if (menu && !event.target.closest(".sidebar")) toggle(menu, false);
    closeDropdowns(event.target);
    return;
  }
  if (target.dataset.toggle) toggle(document.getElementById(target.dataset.toggle));
  else if (target.dataset.dialog) document.getElementById(target.dataset.dialog).showModal();
  else if ("close" in target.dataset) target.closest("dialog").close();
  else if ("print" in target.dataset) print();
  else if (target.dataset.fill) fill(target.dataset.fill);
  else copy(target);
});

function toggle(menu, open = !menu.classList.contains("open")) {
  menu.classList.toggle("open", open);
  for (const button of document.querySelectorAll(`[data-toggle="${menu.id}"][aria-expanded]`)) button.setAttribute("aria-expanded", String(open));
  if (open) one("a, button", menu)?.focus();
  else one(".open-sidebar")?.focus();
}

function closeDropdowns(clicked) {
  for (const dropdown of document.querySelectorAll("details.dropdown[open]")) if (!dropdown.contains(clicked)) dropdown.open = false;
}

async function copy(button) {
  const source = "copyCode" in button.dataset ? one("pre", button.closest(".code")) : button.dataset.copy ? one(button.dataset.copy) : null;
  const text = button.dataset.copyText ?? source?.value ?? source?.innerText ?? "";
  const before = button.textContent;
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
  } catch {
    if (source) getSelection().selectAllChildren(source);
    button.textContent = "Press Ctrl+C";
  }
  setTimeout(() => { button.textContent = before; }, 1500);
}

function fill(text) {
  const field = one("textarea[data-send]");
  field.value = text;
  grow(field);
  field.focus();
}

document.addEventListener("submit", (event) => {
  const question = event.submitter?.dataset.confirm ?? event.target.dataset.confirm;
  if (question && !confirm(question)) {
    event.preventDefault();
    event.stopImmediatePropagation();
  }
}, true);

// Writing

function grow(field) {
  if (CSS.supports("field-sizing", "content")) return;
  field.rows = Math.min(12, Math.max(1, field.value.split("\n").length));
}

document.addEventListener("input", (event) => { if (event.target.matches("textarea[data-send]")) grow(event.target); });

document.addEventListener("keydown", (event) => {
  const field = event.target;
  if (field.matches?.("textarea[data-send]") && event.key === "Enter" && !event.shiftKey && !event.isComposing && !coarse()) {
    event.preventDefault();
    if (field.value.trim()) field.form.requestSubmit();
    return;
  }
  if (event.key === "Escape") {
    const menu = one(".sidebar.open");
    if (menu) toggle(menu, false);
    closeDropdowns(null);
  }
  const shortcut = SHORTCUTS[`${event.ctrlKey || event.metaKey ? "mod+" : ""}${event.shiftKey ? "shift+" : ""}${event.key.toLowerCase()}`];
  const writing = field.matches?.("input, textarea, select");
  if (shortcut && (event.ctrlKey || event.metaKey || !writing)) {
    if (shortcut()) event.preventDefault();
  }
});

const SHORTCUTS = {
  "mod+shift+o": () => press('[data-key="new-chat"]'),
  "mod+shift+s": () => press(".open-sidebar"),
  "/": () => focus("textarea[data-send]"),
  "escape": () => press('[data-key="stop"]'),
  "mod+k": () => focus('#threads input[type="search"]'),
  "?": () => press('[data-key="shortcuts"]'),
  "shift+?": () => press('[data-key="shortcuts"]'),
};

function press(selector) {
  one(selector)?.click();
  return Boolean(one(selector));
}

function focus(selector) {
  one(selector)?.focus();
  return Boolean(one(selector));
}

const coarse = () => matchMedia("(pointer: coarse)").matches; // a phone's Enter is for new lines

// The end of a growing chat stays in view, until the reader scrolls up

function follow(element) {
  let near = true;
  const end = () => { element.scrollTop = element.scrollHeight; };
  element.addEventListener("scroll", () => { near = element.scrollHeight - element.scrollTop - element.clientHeight < 80; }, { passive: true });
  new MutationObserver(() => { if (near) end(); }).observe(element, { childList: true, subtree: true, characterData: true });
  document.addEventListener("submit", (event) => { if (event.target.matches(".composer")) near = true; });
  end();
}

// Times in the reader's own zone and words

function localTimes(within) {
  const form = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
  for (const time of within.querySelectorAll("time[datetime]:not([data-local])")) {
    const moment = new Date(time.dateTime);
    if (!isNaN(moment)) {
      time.textContent = form.format(moment);
      time.dataset.local = "";
    }
  }
}

// A password can be looked at

function reveal(field) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "secondary outline";
  button.textContent = "Show";
  button.setAttribute("aria-label", "Show the password");
  button.addEventListener("click", () => {
    const shown = field.type === "text";
    field.type = shown ? "password" : "text";
    button.textContent = shown ? "Show" : "Hide";
    button.setAttribute("aria-label", shown ? "Show the password" : "Hide the password");
  });
  const row = document.createElement("div");
  row.className = "reveal";
  field.replaceWith(row);
  row.append(field, button);
}

function prepare(within) {
  localTimes(within);
  for (const field of within.querySelectorAll("input[data-reveal]")) if (!field.closest(".reveal")) reveal(field);
  for (const element of within.querySelectorAll("[data-follow]")) {
    if (!element.dataset.following) {
      element.dataset.following = "1";
      follow(element);
    }
  }
}

document.addEventListener("DOMContentLoaded", () => prepare(document));
document.addEventListener("htmx:load", (event) => prepare(event.detail.elt));

// After a message is sent by htmx the field is empty again; what fails stays in it

document.addEventListener("htmx:afterRequest", (event) => {
  const form = event.detail.elt;
  if (!event.detail.successful || !form.matches?.("form.composer")) return;
  form.reset();
  one("textarea[data-send]", form)?.focus();
});

document.addEventListener("htmx:sendError", (event) => {
  if (event.detail.elt.closest?.("[data-quiet]")) return;
  const notices = document.getElementById("notices");
  if (!notices) return;
  const said = document.createElement("p");
  said.className = "problem";
  said.textContent = "The server could not be reached. What you wrote is still there; try again.";
  notices.replaceChildren(said);
});

// Versions: two answers side by side while they are written (form[data-compare="ID"], where they go)

let comparing = null;

document.addEventListener("submit", (event) => {
  const form = event.target;
  if (!form.matches("form[data-compare]")) return;
  event.preventDefault();
  comparing?.abort();
  comparing = new AbortController();
  compareVersions(form, document.getElementById(form.dataset.compare), comparing.signal);
});

async function compareVersions(form, into, signal) {
  const sides = document.createElement("div");
  sides.className = "sides";
  const texts = {};
  for (const name of ["a", "b"]) {
    const side = document.createElement("section");
    const heading = document.createElement("h2");
    heading.textContent = form.elements[name].selectedOptions[0].text;
    texts[name] = document.createElement("p");
    texts[name].className = "said";
    texts[name].setAttribute("aria-busy", "true");
    side.append(heading, texts[name]);
    sides.append(side);
  }
  into.removeAttribute("aria-live"); // read out when it is complete, and not word by word
  into.replaceChildren(sides);
  try {
    const answer = await fetch(form.action, {
      method: "POST",
      body: new URLSearchParams(new FormData(form)),
      headers: { Accept: "text/event-stream", "HX-Request": "true" },
      signal,
    });
    if (!answer.headers.get("content-type")?.startsWith("text/event-stream")) {
      if (answer.headers.get("HX-Redirect")) return location.assign(answer.headers.get("HX-Redirect"));
      into.innerHTML = await answer.text(); // an error as the server words it
      return;
    }
    let complete = false;
    for await (const [name, data] of eventsOf(answer.body)) {
      if (name === "done") {
        complete = true;
        into.setAttribute("aria-live", "polite");
        into.innerHTML = data;
      } else {
        texts[name].textContent += JSON.parse(data);
      }
    }
    if (!complete) throw new Error("ended early");
  } catch (error) {
    if (error.name === "AbortError") return;
    const said = document.createElement("p");
    said.className = "problem";
    said.setAttribute("role", "alert");
    said.textContent = "The connection was lost before both were complete. Ask again.";
    for (const text of Object.values(texts)) text.removeAttribute("aria-busy");
    into.append(said);
  }
}

async function* eventsOf(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let buffer = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    buffer += value;
    let end;
    while ((end = buffer.indexOf("\n\n")) >= 0) {
      const lines = buffer.slice(0, end).split("\n");
      buffer = buffer.slice(end + 2);
      const name = lines.find((line) => line.startsWith("event: "))?.slice(7) ?? "message";
      yield [name, lines.filter((line) => line.startsWith("data: ")).map((line) => line.slice(6)).join("\n")];
    }
  }
}

// What a page asks for by itself, in an element with data-quiet, fails unseen: the next time may do better

document.addEventListener("htmx:beforeOnLoad", (event) => {
  if (event.detail.xhr.status >= 400 && event.detail.elt.closest?.("[data-quiet]")) event.preventDefault();
});
