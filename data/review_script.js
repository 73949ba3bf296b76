/* The review page: what is shown comes from its server, and every decision goes there at once. */
let REPORT = null;
const state = { episode: null, curves: null, frame: 0, playing: 0, scale: null, selected: null };

SERIES.splice(1, 0, { key: "model", name: "Φ of the model", shown: true,
  words: "What the labels said before this review, where that differs." });

/* ---- the server ---- */

const GONE = "The program behind this page has ended or cannot be reached, so nothing more is "
  + "saved. What was saved before is in the draft: start 'robo-reward review' again.";

async function ask(method, path, body) {
  const sent = body === undefined ? {} : { body: JSON.stringify(body),
    headers: { "Content-Type": "application/json" } };
  const answer = await fetch(path, { method, ...sent }).catch(() => { throw new Error(GONE); });
  const text = await answer.text();
  if (!answer.ok) throw new Error(text.startsWith("{") ? JSON.parse(text).error : text);
  return JSON.parse(text);
}

function trouble(words) {
  $("trouble").textContent = words;
  $("trouble").hidden = !words;
  if (words) $("status").textContent = "";
}

/* Changes reach the server in the order in which they were made. */
let queue = Promise.resolve(), pending = 0;

function send(method, path, body, then, otherwise = () => {}) {
  pending += 1;
  queue = queue.then(() => ask(method, path, body)).finally(() => { pending -= 1; })
    .then((told) => {
      trouble("");
      then(told);
    })
    .catch((error) => {
      trouble(error.message);
      return otherwise();
    });
}

/* ---- decisions ---- */

const NONE = { accepted: false, outcome: null, keyframes: [], subtasks: null, note: "" };
const decisionOf = (episode) => REPORT.decisions[episode.index] ?? NONE;
const isReviewed = ({ accepted, outcome, keyframes }) =>
  accepted || outcome !== null || keyframes.length > 0;

function marks(episode) {
  const { accepted, keyframes, note } = decisionOf(episode), found = [];
  if (accepted) found.push("✓ accepted");
  if (decisionOf(episode).outcome !== null) found.push("marked");
  if (keyframes.length) found.push(plural(keyframes.length, "keyframe"));
  if (note) found.push("note");
  return found.map((words) => make("span", { class: "badge done" }, words));
}

function wanted(episode) {
  return { all: true, open: !isReviewed(decisionOf(episode)),
    reviewed: isReviewed(decisionOf(episode)), good: episode.outcome === true,
    bad: episode.outcome === false, unknown: episode.outcome === null }[$("show").value];
}

/* The outcome that counts: the reviewer's, else the dataset's. */
function takeOutcome(episode) {
  const { outcome } = decisionOf(episode);
  if (!("recorded" in episode)) episode.recorded = episode.outcome;
  episode.outcome = outcome === null ? episode.recorded : outcome === "success";
  episode.haystack = undefined;
}

function redrawCard(episode) {
  const old = cards.get(episode.index), fresh = card(episode);
  cards.set(episode.index, fresh);
  if (state.episode === episode) fresh.firstChild.setAttribute("aria-current", "true");
  old?.replaceWith(fresh);
}

function change(part) {
  const episode = state.episode, before = decisionOf(episode), decision = { ...before, ...part };
  REPORT.decisions[episode.index] = decision;
  showDecision();
  const path = `/episodes/${episode.index}`;
  send("PUT", path, { before, decision }, (told) => {
    take(told);
    $("status").textContent = "saved";
  }, () => ask("GET", path).then(take).catch(() => {}));  // show what is saved, if anything answers
}

/* What the server says of an episode is what counts, unless a later change is on its way. */
function take(told) {
  const episode = REPORT.episodes.find((one) => one.index === told.episode);
  const waiting = state.episode === episode && pending > 0;
  REPORT.changed = told.changed;
  if (!waiting) REPORT.decisions[told.episode] = told.decision;
  if (state.episode === episode && !waiting) showDetail(told);
  else showFacts();
}

function showDetail(told) {
  const decode = ([key, curve]) => [key, curveOf(curve, state.episode.length)];
  const curves = Object.fromEntries(Object.entries(told.curves).map(decode));
  const same = curves.model.every((value, i) => Object.is(value, curves.progress_sparse[i]));
  if (same) delete curves.model;
  Object.assign(state, { curves, valid: bytes(told.valid), subtasks: told.subtasks,
    problem: told.problem });
  showLegend();
  showDecision();
}

/* ---- one episode ---- */

let asked = 0;
const waiting = [];

/* Do it when the episode that was chosen is there, after what was to be done before. */
function whenThere(deed) {
  waiting.push(deed);
  while (waiting.length && !state.coming) waiting.shift()();
}

async function choose(episode) {
  pause();
  const mine = ++asked;
  state.coming = true;
  await queue;
  const told = await ask("GET", `/episodes/${episode.index}`).catch((error) => trouble(error.message));
  if (mine !== asked) return;
  state.coming = false;
  if (told) show(episode, told);
  whenThere(() => {});
}

function show(episode, told) {
  if (state.episode) cards.get(state.episode.index)?.firstChild.removeAttribute("aria-current");
  Object.assign(state, { episode, frame: 0, selected: null, subtasks: told.subtasks });
  if (!cards.has(episode.index)) cards.set(episode.index, card(episode));
  const button = cards.get(episode.index).firstChild;
  button.setAttribute("aria-current", "true");
  button.scrollIntoView({ block: "nearest" });
  history.replaceState(null, "", `#${episode.index}`);
  $("slider").max = episode.length - 1;
  showTitle(episode);
  showViews(episode);
  REPORT.decisions[episode.index] = told.decision;
  showDetail(told);
}

function showViews(episode) {
  $("views").replaceChildren(...REPORT.views.map((name, place) => {
    const picture = make("img", { alt: `view ${name}` });
    const figure = make("figure", { class: "view", "data-view": name }, picture,
      make("figcaption", {}, name));
    figure.place = place;
    return figure;
  }));
}

function showFrame() {
  for (const figure of $("views").children) {
    figure.wanted = [state.episode.index, state.frame];
    if (!figure.busy && figure.shown !== state.frame) fetchPicture(figure);
  }
}

/* One picture at a time for each view; what was passed over meanwhile is not asked for. */
function fetchPicture(figure) {
  const [episode, frame] = figure.wanted, image = new Image();
  figure.busy = true;
  image.alt = `view ${figure.dataset.view}, frame ${frame}`;
  const done = (flaw) => {
    image.classList.toggle("broken", Boolean(flaw));
    figure.firstChild.replaceWith(image);
    figure.lastChild.textContent = `${figure.dataset.view} · frame ${frame}${flaw}`;
    figure.busy = false;
    figure.shown = frame;
    if (figure.wanted[1] !== frame && figure.isConnected) fetchPicture(figure);
  };
  image.onload = () => done("");
  image.onerror = () => done(" · no picture");
  image.src = `/frames/${episode}/${figure.place}/${frame}`;
}

function showDecision() {
  const episode = state.episode, decision = decisionOf(episode);
  takeOutcome(episode);
  const pressed = { a: decision.accepted, s: decision.outcome === "success",
    f: decision.outcome === "failure" };
  for (const [key, on] of Object.entries(pressed)) {
    $("decision").querySelector(`[data-do="${key}"]`).setAttribute("aria-pressed", on);
  }
  $("outcome").replaceChildren(badge(episode));
  if (document.activeElement !== $("note")) $("note").value = decision.note;
  $("parts").hidden = !(episode.outcome === false && decision.keyframes.length > 1);
  $("subtasks").value = decision.subtasks ?? Math.max(1, decision.keyframes.length);
  showKeyframes();
  redrawCard(episode);
  showFacts();
  showChart();
  seek(state.frame);
}

function showFacts() {
  const reviewed = Object.values(REPORT.decisions).filter(isReviewed).length;
  const facts = [["version", REPORT.version], ["reviewer", REPORT.reviewer],
    ["reviewed", `${reviewed} of ${REPORT.episodes.length}`],
    ["not in a version yet", String(REPORT.changed)]];
  $("facts").replaceChildren(...facts.map(([name, value]) => make("div", {},
    make("dt", {}, name), make("dd", { "data-fact": name }, value))));
}

/* ---- keyframes ---- */

/* The reviewer's, else those of the dataset: where subtasks begin and end. */
function keyframes() {
  const own = decisionOf(state.episode).keyframes;
  if (own.length) return { own: true, frames: own };
  const spans = state.subtasks.map(([, start, end]) => [start, end]);
  const ends = new Set(spans.flatMap(([start, end], i) => (i ? [end] : [start, end])));
  return { own: false, frames: [...ends].sort((a, b) => a - b) };
}

function setKeyframes(frames, selected) {
  state.selected = selected;
  change({ keyframes: frames });
}

function addKeyframe() {
  const { frames } = keyframes(), at = state.frame;
  if (frames.includes(at)) return select(at);
  setKeyframes([...frames, at].sort((a, b) => a - b), at);
}

function moveKeyframe(step, from = state.selected) {
  const { frames } = keyframes(), place = frames.indexOf(from);
  if (place < 0) return;
  const least = (frames[place - 1] ?? -1) + 1, most = (frames[place + 1] ?? state.episode.length) - 1;
  const to = Math.min(most, Math.max(least, from + step));
  if (to === from) return;
  state.frame = to;
  setKeyframes(frames.map((frame) => (frame === from ? to : frame)), to);
}

function deleteKeyframe() {
  const { frames } = keyframes();
  if (!frames.includes(state.selected)) return;
  setKeyframes(frames.filter((frame) => frame !== state.selected), null);
}

function select(frame) {
  state.selected = frame;
  pause();
  showKeyframes();
  showChart();
  seek(frame);
}

function selectNext(step) {
  const { frames } = keyframes();
  const ahead = frames.filter((frame) => (step > 0 ? frame > state.frame : frame < state.frame));
  if (ahead.length) select(step > 0 ? ahead[0] : ahead.at(-1));
}

function showKeyframes() {
  const { own, frames } = keyframes();
  const buttons = frames.map((frame, i) => {
    const button = make("button", { type: "button", "aria-pressed": frame === state.selected,
      "data-keyframe": frame }, `K${i} · frame ${frame}`);
    button.addEventListener("click", () => select(frame));
    return button;
  });
  const words = !frames.length ? "no keyframes: m sets one at the chosen frame"
    : own ? "keyframes" : "keyframes of the dataset, which a change makes yours";
  const flaw = state.problem ? [make("span", { class: "problem" }, `This ${state.problem}`)] : [];
  $("keyframes").replaceChildren(make("span", { class: "note" }, words), ...buttons, ...flaw);
}

function overlays(scale) {
  const { own, frames } = keyframes();
  return frames.map((frame, i) => {
    const chosen = frame === state.selected ? " selected" : "", x = scale.x(frame);
    const mark = draw("g", { class: `keyframe${own ? "" : " annotated"}${chosen}` },
      draw("line", { x1: x, x2: x, y1: scale.top, y2: scale.bottom }),
      draw("circle", { cx: x, cy: scale.bottom - 10, r: 9 }),
      draw("text", { x, y: scale.bottom - 6.5, "text-anchor": "middle" }, `K${i}`));
    mark.addEventListener("pointerdown", (event) => drag(event, frame));
    return mark;
  });
}
