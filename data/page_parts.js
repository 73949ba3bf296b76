/* What the pages about labels share: small helpers, and the list of episodes. A page has its own
   REPORT, choose(episode), marks(episode): further badges, and wanted(episode): whether to list. */
const $ = (id) => document.getElementById(id);
const SVG = "http://www.w3.org/2000/svg";

const SERIES = [
  ["progress_sparse", "Φ progress", "Share of the task done, fused from three anchors.", true],
  ["confidence", "Confidence", "Chance that the truth lies within ±0.1 of Φ: strength of the band.", true],
  ["progress_forward", "Forward", "Progress from comparing with the start.", true],
  ["progress_backward", "Backward", "Progress from comparing with the goal.", true],
  ["progress_incremental", "Incremental", "Progress built up from hop to hop.", true],
  ["truth", "Truth", "True progress, where a simulator or an annotation knows it.", true],
  ["success_prob", "Success", "Chance that the task is done at this frame.", false],
  ["match_prob", "Match", "Chance that the behaviour pursues this instruction.", false],
].map(([key, name, words, shown]) => ({ key, name, words, shown }));

const SORTS = {
  "suspicion": (e) => -e.score,
  "episode": (e) => e.index,
  "lowest end": (e) => e.end ?? -1,
  "deepest fall": (e) => -e.values.fall,
  "disagreement": (e) => -e.values.disagreement,
  "least confidence": (e) => -e.values.doubt,
  "most invalid": (e) => -e.values.invalid,
  "error against truth": (e) => -(e.error ?? -1),
  "longest": (e) => -e.length,
};

function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

function draw(tag, attributes = {}, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
const floats = (text) => new Float32Array(bytes(text).buffer);

/* A curve: all its numbers, or the frames where a value begins and those values. */
function curveOf(told, length) {
  if (typeof told === "string") return floats(told);
  const starts = new Uint32Array(bytes(told[0]).buffer), values = floats(told[1]);
  const curve = new Float32Array(length);
  starts.forEach((frame, i) => curve.fill(values[i], frame, starts[i + 1] ?? length));
  return curve;
}

const number = (value) => (Number.isFinite(value) ? value.toFixed(3) : "–");
const plural = (count, word) => `${count.toLocaleString("en")} ${word}${count === 1 ? "" : "s"}`;
const instructionOf = (episode) => REPORT.instructions[episode.instruction];
const outcomeOf = (episode) =>
  episode.outcome === null ? "outcome unknown" : episode.outcome ? "success" : "failure";

function badge(episode) {
  const kind = episode.outcome === null ? "" : episode.outcome ? " good" : " bad";
  const sign = episode.outcome === null ? "" : episode.outcome ? "✓ " : "✗ ";
  return make("span", { class: "badge" + kind }, sign + outcomeOf(episode));
}

function chips(episode) {
  const score = make("span", { class: "chip score" }, `suspicion ${episode.score.toFixed(2)}`);
  return [score, ...episode.reasons.map((text) => make("span", { class: "chip" }, text))];
}

/* A path through points, broken where a value is missing. */
function pathOf(values, x, y) {
  let path = "", open = false;
  for (let i = 0; i < values.length; i++) {
    if (values[i] === null || !Number.isFinite(values[i])) { open = false; continue; }
    const next = i + 1 < values.length && values[i + 1] !== null && Number.isFinite(values[i + 1]);
    const point = `${x(i).toFixed(1)} ${y(values[i]).toFixed(1)}`;
    path += (open ? "L" : "M") + point + (open || next ? "" : "h.1");
    open = true;
  }
  return path;
}

/* ---- list ---- */

function spark(values) {
  const x = (i) => 2 + (92 * i) / Math.max(1, values.length - 1), y = (v) => 35 - 0.32 * v;
  return draw("svg", { class: "spark", viewBox: "0 0 96 38", "aria-hidden": "true" },
    draw("path", { class: "base", d: "M2 35.5H94M2 3.5H94" }),
    draw("path", { class: "phi", d: pathOf(values, x, y) }));
}

function card(episode) {
  const text = instructionOf(episode);
  const top = make("span", { class: "top" }, make("b", {}, `#${episode.index}`), badge(episode));
  if (episode.behaviour) top.append(make("span", { class: "badge" }, episode.behaviour));
  top.append(...marks(episode));
  const button = make("button", { type: "button", "data-episode": episode.index }, top,
    make("span", { class: "words", title: text }, text.slice(0, 300)), spark(episode.spark),
    make("span", { class: "chips" }, ...chips(episode)));
  button.addEventListener("click", () => choose(episode));
  return make("li", {}, button);
}

const cards = new Map();
let listed = [];

function matches(episode, words) {
  episode.haystack ??= [`#${episode.index}`, instructionOf(episode), episode.behaviour ?? "",
    outcomeOf(episode), ...episode.reasons].join(" ").toLowerCase();
  const whole = (word) => word.startsWith("#") && word.length > 1;
  return words.every((word) =>
    whole(word) ? word === `#${episode.index}` : episode.haystack.includes(word));
}

function showList() {
  const words = $("filter").value.toLowerCase().split(/\s+/).filter(Boolean);
  const key = SORTS[$("sort").value];
  listed = REPORT.episodes.filter((episode) => wanted(episode) && matches(episode, words));
  listed.sort((a, b) => key(a) - key(b) || a.index - b.index);
  for (const episode of listed) {
    if (!cards.has(episode.index)) cards.set(episode.index, card(episode));
  }
  const items = listed.map((episode) => cards.get(episode.index));
  if (!items.length) items.push(make("li", { class: "empty" }, "No episode matches the filter."));
  $("list").replaceChildren(...items);
  $("count").textContent = listed.length === REPORT.episodes.length
    ? plural(listed.length, "episode") : `${listed.length} of ${REPORT.episodes.length}`;
}

function showTitle(episode) {
  $("name").textContent = `Episode ${episode.index}`;
  $("outcome").replaceChildren(badge(episode));
  $("behaviour").replaceChildren(
    ...(episode.behaviour ? [make("span", { class: "badge" }, episode.behaviour)] : []));
  const seconds = ((episode.length - 1) / episode.fps).toFixed(1);
  const error = episode.error === null ? "" : ` · mean |Φ − truth| ${episode.error.toFixed(3)}`;
  $("stats").textContent = `${plural(episode.length, "frame")} · ${seconds} s${error}`;
  const text = instructionOf(episode);
  $("instruction").textContent = text.slice(0, 1000) + (text.length > 1000 ? " …" : "");
  $("instruction").title = text;
  $("reasons").replaceChildren(...chips(episode));
}
