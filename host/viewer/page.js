// Follows the stream: asks for the next frame, draws it, asks again. Elements are made once and changed in place, so that clicks, focus
// and screen readers keep hold of them while frames come.
"use strict";

const RETRY_MILLISECONDS = 500, ANSWER_MILLISECONDS = 20000, LEAST_WIDTH = 200, USUAL_WIDTH = 320, GAP = 14, CAPTION_MARGINS = 24, LINE = 22;
const byId = id => document.getElementById(id);
const shown = { server: "", frame: -1, revision: -1, steering: null, state: null, moments: [], lost: false };
const panels = new Map();   // name to { figure, canvas, name, cost, legend, bitmap, data }
const tasks = new Map();    // name to its button
const pending = new Map();  // a button to how many of its requests are under way
let sending = Promise.resolve();  // ends with the last request: side by side they could arrive in another order than they were made
let enlarged = null;        // name of the panel that was asked to be larger than the others
let caption = 0;            // height of the text below pictures, in pixels
let arranged = "";          // what the present layout was made for

function made(kind, className, parent) {
  const element = document.createElement(kind);
  if (className) element.className = className;
  parent?.append(element);
  return element;
}

function say(text, problem = false) {
  const line = byId("message");
  if (line.textContent !== text) line.textContent = text;
  line.classList.toggle("problem", problem);
}

function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

// --- requests ---------------------------------------------------------------------------------------------------------

function send(button, path, value) {
  pending.set(button, (pending.get(button) ?? 0) + 1);
  sending = sending.then(() => sendNow(button, path, value));
}

async function sendNow(button, path, value) {
  try {
    const answer = await fetch(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(value) });
    if (!answer.ok) throw new Error(await answer.text());
    adopt(await answer.json());
  } catch (error) {
    say(error instanceof TypeError ? "no answer from moesaic watch" : error.message.trim(), true);
  }
  pending.set(button, pending.get(button) - 1);
  showSteering();
}

async function receive() {
  const query = new URLSearchParams({ server: shown.server, after: shown.frame, revision: shown.revision });
  const answer = await fetch(`frame?${query}`, { signal: AbortSignal.timeout(ANSWER_MILLISECONDS) });
  if (!answer.ok) throw new Error(await answer.text());
  const content = await answer.arrayBuffer();
  const length = new DataView(content).getUint32(0, true);
  const state = JSON.parse(new TextDecoder().decode(new Uint8Array(content, 4, length)));
  let begin = 4 + length;
  const parts = state.pictures.map(({ name, bytes }) => {
    const part = new Blob([new Uint8Array(content, begin, bytes)], { type: "image/png" });
    begin += bytes;
    return createImageBitmap(part).then(bitmap => [name, bitmap]);
  });
  return [state, new Map(await Promise.all(parts))];
}

async function save() {
  if (shown.frame < 0) return;
  const number = shown.frame;
  try {
    const answer = await fetch(`save?frame=${number}`);
    if (!answer.ok) throw new Error(await answer.text());
    const link = document.createElement("a");
    link.download = /filename="([^"]+)"/.exec(answer.headers.get("Content-Disposition") ?? "")?.[1] ?? `frame-${number}.zip`;
    link.href = URL.createObjectURL(await answer.blob());
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60000);
    say(`frame ${number} saved as ${link.download}`);
  } catch (error) {
    say(error instanceof TypeError ? "no answer from moesaic watch" : error.message.trim(), true);
  }
}

// --- controls ---------------------------------------------------------------------------------------------------------

function press(button, pressed) {
  const text = String(pressed);
  if (button.getAttribute("aria-pressed") !== text) button.setAttribute("aria-pressed", text);
}

const pressed = button => button.getAttribute("aria-pressed") === "true";

/** Answers may overtake one another: the latest revision counts. */
function adopt({ revision, chosen, paused }) {
  if (revision >= shown.revision) Object.assign(shown, { revision, steering: { chosen, paused } });
}

/** Show how the stream is steered, but for buttons whose own request is still under way. */
function showSteering() {
  if (!shown.steering) return;
  const { chosen, paused } = shown.steering;
  for (const [name, button] of tasks) if (!pending.get(button)) press(button, chosen.includes(name));
  if (!pending.get(byId("pause")) && !pending.get(byId("step"))) press(byId("pause"), paused);
}

function showTasks(names) {
  for (const [name, button] of tasks) if (!names.includes(name)) { button.remove(); tasks.delete(name); }
  names.forEach((name, index) => {
    if (tasks.has(name)) return;
    const button = made("button", "", byId("tasks"));
    button.type = "button";
    button.dataset.task = name;
    button.append(name);
    if (index < 9) {
      button.setAttribute("aria-keyshortcuts", index + 1);
      const key = made("kbd", "", button);
      key.setAttribute("aria-hidden", "true");
      key.textContent = index + 1;
    }
    button.addEventListener("click", () => {
      press(button, !pressed(button));
      send(button, "choice", { task: name, chosen: pressed(button) });
    });
    tasks.set(name, button);
  });
}

byId("pause").addEventListener("click", () => {
  press(byId("pause"), !pressed(byId("pause")));
  send(byId("pause"), "pause", { paused: pressed(byId("pause")) });
});
byId("step").addEventListener("click", () => {
  press(byId("pause"), true);
  send(byId("step"), "step", {});
});
byId("save").addEventListener("click", save);
byId("overlay").addEventListener("click", () => overlay(!pressed(byId("overlay"))));
byId("opacity").addEventListener("input", () => overlay(true));
byId("keys").addEventListener("click", () => byId("help").showModal());

function overlay(on) {
  press(byId("overlay"), on);
  draw();
}

function fade(percent) {
  const slider = byId("opacity");
  slider.value = Number(slider.value) + percent;
  overlay(true);
}

const KEYS = {
  p: () => byId("pause").click(),
  n: () => byId("step").click(),
  s: () => byId("save").click(),
  o: () => byId("overlay").click(),
  "[": () => fade(-10),
  "]": () => fade(10),
  "?": () => byId("keys").click(),
};
const REPEATED = "n[]";

document.addEventListener("keydown", event => {
  if (event.ctrlKey || event.altKey || event.metaKey || byId("help").open || !byId("shortcuts").checked) return;
  const key = event.key.toLowerCase();
  if (event.repeat && !REPEATED.includes(key)) return;
  if (key >= "1" && key <= "9" && key.length === 1) [...tasks.values()][key - 1]?.click();
  else if (key === " " && event.target === document.body) KEYS.p();
  else if (Object.hasOwn(KEYS, key)) KEYS[key]();
  else return;
  event.preventDefault();
});

// --- pictures ---------------------------------------------------------------------------------------------------------

function panelFor(name) {
  if (!panels.has(name)) {
    const figure = made("figure", "panel"), canvas = made("canvas", "", made("div", "picture", figure));
    figure.dataset.name = name;
    canvas.setAttribute("role", "img");
    const caption = made("figcaption", "", figure), title = made("div", "title", caption);
    const panel = { figure, canvas, name: made("span", "name", title), cost: made("span", "cost", title), legend: made("div", "caption-legend", caption) };
    panel.name.textContent = name;
    const button = made("button", "enlarge", title);
    button.type = "button";
    button.setAttribute("aria-label", `Enlarge ${name}`);
    press(button, enlarged === name);
    button.addEventListener("click", () => {
      enlarged = enlarged === name ? null : name;
      for (const [other, { figure: place }] of panels) press(place.querySelector(".enlarge"), enlarged === other);
      arrange();
    });
    canvas.setAttribute("aria-label", name);
    panels.set(name, panel);
  }
  return panels.get(name);
}

function showLegend(place, { entries = [], ramp, marks }) {
  const kind = ramp ? "ramp" : "entries";
  if (place.dataset.kind !== kind) {
    place.replaceChildren();
    place.dataset.kind = kind;
    if (ramp) {
      made("div", "ramp", place).style.background = `linear-gradient(to right, ${ramp.join(", ")})`;
      made("div", "marks", place);
    } else {
      made("ul", "legend", place);
    }
  }
  const texts = ramp ? marks.map(text => ({ text })) : entries, list = place.lastElementChild;
  while (list.childElementCount > texts.length) list.lastElementChild.remove();
  while (list.childElementCount < texts.length) {
    const line = made(ramp ? "span" : "li", "", list);
    if (!ramp) for (const part of ["swatch", "text", "share"]) made("span", part, line);
  }
  texts.forEach(({ text, colour, share }, index) => {
    const line = list.children[index];
    if (ramp) return setText(line, text);
    const [swatch, label, portion] = line.children;
    swatch.hidden = !colour;
    if (colour) swatch.style.background = colour;
    setText(label, text);
    portion.hidden = share === undefined;
    if (share !== undefined) setText(portion, `${(100 * share).toFixed(share < 0.0995 ? 1 : 0)} %`);
    line.classList.toggle("absent", share === 0);
  });
}

function costOf({ cycles, milliseconds, shared }) {
  const time = `${milliseconds.toFixed(1)} ms${shared > 1 ? ` for ${shared} tasks` : ""}`;
  return cycles === null ? time : `${cycles.toLocaleString("en")} cycles · ${time}`;
}

/** Take over a frame: its panels, in order, with what stands below them. */
function showFrame(state, bitmaps) {
  const names = ["input", ...state.panels.map(panel => panel.name)];
  for (const [name, panel] of panels) if (!names.includes(name)) { panel.figure.remove(); panels.delete(name); }
  names.forEach((name, index) => {
    const panel = panelFor(name);
    panel.bitmap?.close();
    panel.bitmap = bitmaps.get(name);
    panel.data = index ? state.panels[index - 1] : null;
    if (byId("panels").children[index] !== panel.figure) byId("panels").insertBefore(panel.figure, byId("panels").children[index] ?? null);
    if (index) {
      setText(panel.cost, costOf(panel.data));
      showLegend(panel.legend, panel.data.legend);
    } else {
      setText(panel.cost, `${state.image[1]} × ${state.image[0]}`);
      showLegend(panel.legend, { entries: [{ text: state.seen.join() === "0,0,1,1" ? "all of it goes to the network" : "the network sees the bright part" }] });
    }
  });
  draw();
}

/** Draw all pictures, as the overlay is set. */
function draw() {
  const state = shown.state, image = panels.get("input")?.bitmap;
  if (!image) return;
  const over = pressed(byId("overlay")), opacity = byId("opacity").value / 100;
  const [top, left, height, width] = state.seen.map((share, index) => share * (index % 2 ? image.width : image.height));
  for (const [name, { canvas, bitmap, data }] of panels) {
    const laid = over && data?.filled, base = data === null || laid ? image : bitmap;
    if (canvas.width !== base.width || canvas.height !== base.height) [canvas.width, canvas.height] = [base.width, base.height];
    canvas.classList.toggle("smooth", base === image);
    const pen = canvas.getContext("2d");
    pen.globalAlpha = 1;
    pen.drawImage(base, 0, 0);
    if (data === null) {
      pen.fillStyle = "#0b0c10b0";
      pen.fillRect(0, 0, image.width, top);
      pen.fillRect(0, top + height, image.width, image.height);
      pen.fillRect(0, top, left, height);
      pen.fillRect(left + width, top, image.width, height);
    } else if (laid) {
      const [y, x, rows, columns] = data.filled.map((share, index) => share * (index % 2 ? bitmap.width : bitmap.height));
      pen.globalAlpha = opacity;
      pen.imageSmoothingEnabled = data.smooth;
      pen.drawImage(bitmap, x, y, columns, rows, left, top, width, height);
    }
  }
  arrange();
}

/** The layout with the largest pictures that fits the window, or null if they would be too small: { columns, height, large, first }.

large: width of the panel `first` at the left, beside columns of all others; 0 if all are alike. forced: the panel that has to be `first`.
*/
function largestFit(proportions, forced, width, height, caption) {
  let best = null;
  const consider = (columns, large, first) => {
    const others = large ? proportions.filter((_, index) => index !== first) : proportions;
    const rows = Math.ceil(others.length / columns);
    const wide = (width - large - (columns - (large ? 0 : 1)) * GAP) / columns, high = Math.floor((height - (rows - 1) * GAP) / rows) - caption;
    const spare = columns * rows - others.length;  // the first of them takes it
    const widths = others.map((proportion, index) => Math.min(index ? wide : wide + spare * (wide + GAP), high / proportion));
    if (Math.min(...widths) < (large && forced < 0 ? USUAL_WIDTH : LEAST_WIDTH)) return;
    let size = widths.reduce((sum, each, index) => sum + each * Math.sqrt(others[index]), 0);  // the roots of the areas
    if (large) {
      const widest = Math.min(large, (height - caption) / proportions[first]);
      if (widest < Math.max(...widths)) return;
      size += widest * Math.sqrt(proportions[first]);
    }
    if (size > (best?.size ?? 0)) best = { size, columns, height: high, large, first };
  };
  const beside = first => {
    for (let columns = 1; columns < proportions.length; columns += 1)
      for (let share = 0.3; share < 0.8; share += 0.01) consider(columns, Math.round(share * width), first);
  };
  if (forced >= 0) beside(forced);
  if (best) return best;
  for (let columns = 1; columns <= proportions.length; columns += 1) consider(columns, 0, 0);
  for (let first = 0; first < Math.min(2, proportions.length); first += 1) beside(first);
  return best;
}

/** Arrange the panels so that the pictures are as large as they can be without scrolling; scroll where they would be too small. */
function arrange() {
  const all = [...byId("panels").children].map(figure => panels.get(figure.dataset.name)), main = byId("panels");
  if (!all.length) return;
  const width = main.clientWidth - 2 * parseFloat(getComputedStyle(main).paddingLeft);
  const height = window.innerHeight - main.offsetTop - byId("message").offsetHeight;
  const tallest = Math.max(...all.map(({ name, legend }) => name.parentElement.offsetHeight + legend.offsetHeight)) + CAPTION_MARGINS;
  if (tallest > caption || tallest < caption - 2 * LINE) caption = tallest;  // a line that comes and goes moves nothing
  const proportions = all.map(({ canvas }) => canvas.height / canvas.width);
  const forced = all.findIndex(({ figure }) => figure.dataset.name === enlarged);
  const key = JSON.stringify([proportions, forced, width, height, caption]);
  if (key === arranged) return;
  arranged = key;
  const fit = largestFit(proportions, forced, width, height, caption);
  const columns = fit?.columns ?? Math.min(all.length, Math.max(1, Math.floor((width + GAP) / (USUAL_WIDTH + GAP))));
  main.style.gridTemplateColumns = `${fit?.large ? `${fit.large}px ` : ""}repeat(${columns}, minmax(0, 1fr))`;
  main.style.setProperty("--caption-height", `${caption}px`);
  const others = all.length - (fit?.large ? 1 : 0), rows = Math.ceil(others / columns);
  const widest = fit?.large && fit.first === 0 ? 1 : 0;
  all.forEach(({ figure, canvas }, index) => {
    const large = Boolean(fit?.large) && index === fit.first, spare = fit && index === widest ? columns * rows - others : 0;
    figure.style.gridArea = large ? `1 / 1 / span ${rows} / span 1` : `auto / auto / auto / span ${1 + spare}`;
    canvas.style.maxHeight = fit ? `${large ? height - caption : fit.height}px` : "none";
  });
}

window.addEventListener("resize", arrange);

// --- the stream -------------------------------------------------------------------------------------------------------

function showFigures(state) {
  document.title = `moesaic: ${state.build}`;
  setText(byId("about"), `${state.build} on the ${state.executor}`);
  setText(byId("frame"), state.frame < 0 ? "–" : String(state.frame));
  const times = shown.moments, here = times.length > 1 ? 1000 * (times.length - 1) / (times.at(-1) - times[0]) : null;
  const fewer = state.rate !== null && here !== null && here < 0.8 * state.rate;
  setText(byId("rate"), state.rate === null ? "–" : state.rate.toFixed(1) + (fewer ? ` (${here.toFixed(1)} here)` : ""));
  if (state.age !== undefined) setText(byId("age"), state.age < 10 ? `${Math.round(1000 * state.age)} ms` : `${Math.round(state.age)} s`);
  byId("dropped-frames").hidden = state.dropped === null;
  setText(byId("dropped"), String(state.dropped));
}

async function whenVisible() {
  if (document.hidden) await new Promise(resolve => document.addEventListener("visibilitychange", resolve, { once: true }));
}

async function follow() {
  for (;;) {
    await whenVisible();
    try {
      const [state, bitmaps] = await receive();
      if (state.server !== shown.server) Object.assign(shown, { server: state.server, frame: -1, revision: -1, moments: [] });
      showTasks(state.tasks);
      adopt(state);
      showSteering();
      if (bitmaps.size) {
        shown.state = state;
        shown.frame = state.frame;
        shown.moments = [...shown.moments.slice(-29), performance.now()];
        showFrame(state, bitmaps);
        if (byId("message").textContent.startsWith("waiting")) say("");
      }
      showFigures(state);
      if (shown.lost) say(state.frame < 0 ? "waiting for the first frame …" : "");
      shown.lost = false;
    } catch (error) {
      shown.lost = true;
      say(error instanceof TypeError || error.name === "TimeoutError" ? "no answer from moesaic watch; trying again …" : error.message.trim(), true);
      await new Promise(resolve => setTimeout(resolve, RETRY_MILLISECONDS));
    }
  }
}

follow();
