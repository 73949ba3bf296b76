/* What the pages about labels share: the chart, the chosen frame, playing. A page has its own
   state, overlays(scale), showFrame() and onKey(event). */

function showLegend() {
  const items = SERIES.filter(({ key }) => key in state.curves).map((series) => {
    const { key, name, words } = series;
    const mark = key === "confidence"
      ? [draw("rect", { x: 1, y: 4, width: 11, height: 12, fill: "currentColor", opacity: .12 }),
        draw("rect", { x: 12, y: 4, width: 11, height: 12, fill: "currentColor", opacity: .3 }),
        draw("rect", { x: 23, y: 4, width: 11, height: 12, fill: "currentColor", opacity: .5 })]
      : [draw("path", { class: `curve ${key}`, d: "M1 10H33" })];
    const swatch = draw("svg", { "aria-hidden": "true", viewBox: "0 0 34 20" }, ...mark);
    if (key === "confidence") swatch.setAttribute("class", "confidence swatch");
    const button = make("button", { type: "button", "aria-pressed": series.shown,
      "data-series": key, title: "Show or hide" }, swatch, make("b", {}, name),
      make("output", { "data-read": key }), make("small", {}, words));
    button.addEventListener("click", () => {
      series.shown = !series.shown;
      button.setAttribute("aria-pressed", series.shown);
      showChart();
      seek(state.frame);
    });
    return make("li", {}, button);
  });
  const invalid = state.valid.filter((flag) => !flag).length;
  if (invalid) items.push(invalidLegend(invalid));
  $("legend").replaceChildren(...items);
}

function invalidLegend(count) {
  const lines = draw("path", { class: "hatch", d: "M2 17L14 3M10 17L22 3M18 17L30 3" });
  const swatch = draw("svg", { "aria-hidden": "true", viewBox: "0 0 34 20" }, lines);
  return make("li", {}, make("div", { class: "plain" }, swatch, make("b", {}, "Invalid"),
    make("span", {}, plural(count, "frame")),
    make("small", {}, "Hatched: no valid label, so Φ is not given here.")));
}

/* ---- chart ---- */

const shown = (key) => key in state.curves && SERIES.find((one) => one.key === key).shown;

function scaleOf() {
  const width = Math.max(280, $("chart").clientWidth), lane = state.subtasks.length ? 24 : 0;
  const box = { left: 38, right: width - 14, top: 12 + lane, bottom: 236 + lane };
  const last = Math.max(1, state.episode.length - 1);
  return { ...box, width, height: box.bottom + 28, last,
    x: (frame) => box.left + ((box.right - box.left) * frame) / last,
    y: (value) => box.bottom - (box.bottom - box.top) * Math.min(1, Math.max(0, value)) };
}

function axes(scale) {
  const parts = [];
  for (const value of [0, .25, .5, .75, 1]) {
    const y = scale.y(value);
    parts.push(draw("path", { class: "gridline", d: `M${scale.left} ${y}H${scale.right}` }),
      draw("text", { x: scale.left - 7, y: y + 4, "text-anchor": "end" }, String(value)));
  }
  const seconds = scale.last / state.episode.fps, room = (scale.right - scale.left) / 70;
  const step = [.1, .2, .5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600]
    .find((candidate) => seconds / candidate <= room) ?? seconds;
  for (let i = 0; i * step <= seconds + 1e-9; i++) {
    const at = (i * step).toFixed(step < 1 ? 1 : 0);
    const x = scale.x(i * step * state.episode.fps);
    parts.push(draw("path", { class: "gridline", d: `M${x} ${scale.bottom}v5` }),
      draw("text", { x, y: scale.bottom + 18, "text-anchor": "middle" }, `${at} s`));
  }
  return parts;
}

/* Runs of frames without a valid label, each half a frame wider at both ends. */
function invalidRuns() {
  const runs = [];
  for (let i = 0; i < state.valid.length; i++) {
    if (state.valid[i]) continue;
    const start = i;
    while (i + 1 < state.valid.length && !state.valid[i + 1]) i++;
    runs.push([start - .5, i + .5]);
  }
  return runs;
}

function hatching(scale) {
  const pattern = draw("pattern", { id: "hatching", width: 7, height: 7,
    patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)" },
    draw("path", { class: "hatch", d: "M0 0V7" }));
  const boxes = invalidRuns().map(([start, end]) => {
    const left = Math.max(scale.left, scale.x(start)), right = Math.min(scale.right, scale.x(end));
    return draw("rect", { class: "invalid", x: left, width: Math.max(2, right - left),
      y: scale.top, height: scale.bottom - scale.top, fill: "url(#hatching)", opacity: .6 },
      draw("title", {}, "no valid label"));
  });
  return [draw("defs", {}, pattern), ...boxes];
}

/* The ±0.1 band, in pieces where Φ exists; its opacity follows the confidence. */
function band(scale) {
  const phi = state.curves.progress_sparse, sure = state.curves.confidence;
  const steps = Math.max(1, Math.ceil(phi.length / 200)), stops = [];
  for (let i = 0; i < phi.length; i += steps) {
    const value = Number.isFinite(sure[i]) ? sure[i] : 0;
    stops.push(draw("stop", { offset: i / scale.last, "stop-color": "currentColor",
      "stop-opacity": (.04 + .46 * Math.min(1, Math.max(0, value))).toFixed(3) }));
  }
  const gradient = draw("linearGradient", { id: "sureness", gradientUnits: "userSpaceOnUse",
    x1: scale.left, x2: scale.right, y1: 0, y2: 0 }, ...stops);
  let path = "";
  for (let i = 0; i < phi.length; i++) {
    if (!Number.isFinite(phi[i])) continue;
    const start = i;
    while (i + 1 < phi.length && Number.isFinite(phi[i + 1])) i++;
    const over = [], under = [];
    for (let j = start; j <= i; j++) {
      over.push(`${scale.x(j).toFixed(1)} ${scale.y(phi[j] + .1).toFixed(1)}`);
      under.unshift(`${scale.x(j).toFixed(1)} ${scale.y(phi[j] - .1).toFixed(1)}`);
    }
    path += `M${[...over, ...under].join("L")}Z`;
  }
  const area = draw("path", { class: "band", d: path, fill: "url(#sureness)", stroke: "none" });
  return draw("g", { class: "confidence" }, draw("defs", {}, gradient), area);
}

function subtaskLane(scale) {
  return state.subtasks.flatMap(([name, start, end], place) => {
    const left = scale.x(start), right = scale.x(end), room = Math.floor((right - left) / 6.4) - 1;
    const label = name.length > room ? name.slice(0, Math.max(0, room - 1)) + "…" : name;
    const parts = [draw("path", { class: "subtask", d: `M${right} ${scale.top - 20}V${scale.bottom}` })];
    if (place === 0) {
      parts.push(draw("path", { class: "subtask", d: `M${left} ${scale.top - 20}V${scale.bottom}` }));
    }
    if (room > 2) {
      parts.push(draw("text", { x: (left + right) / 2, y: scale.top - 9, "text-anchor": "middle" },
        label, draw("title", {}, name)));
    }
    return parts;
  });
}

function showChart() {
  if (!state.episode) return;
  const scale = (state.scale = scaleOf());
  const parts = [...axes(scale), ...hatching(scale), ...subtaskLane(scale)];
  if (shown("confidence")) parts.push(band(scale));
  for (const { key } of [...SERIES].reverse()) {
    if (key === "confidence" || !shown(key)) continue;
    parts.push(draw("path", { class: `curve ${key}`, d: pathOf(state.curves[key], scale.x, scale.y) }));
  }
  parts.push(...overlays(scale), draw("path", { class: "cursor", id: "cursor" }),
    draw("circle", { class: "dot", id: "dot", r: 5 }));
  $("chart").replaceChildren(draw("svg", { width: scale.width, height: scale.height, role: "img",
    "aria-label": "Curves over time; the values at the chosen frame are listed below" }, ...parts));
}

/* ---- the chosen frame ---- */

function seek(frame) {
  const { episode, curves, scale } = state;
  state.frame = Math.min(episode.length - 1, Math.max(0, Math.round(frame)));
  const at = state.frame, time = (at / episode.fps).toFixed(2);
  const flaw = state.valid[at] ? "" : " · invalid";
  $("slider").value = at;
  $("slider").setAttribute("aria-valuetext", `frame ${at}, ${time} seconds`);
  $("time").textContent = `frame ${at} of ${episode.length - 1} · ${time} s${flaw}`;
  for (const output of $("legend").querySelectorAll("output")) {
    output.textContent = number(curves[output.dataset.read][at]);
  }
  $("cursor").setAttribute("d", `M${scale.x(at)} ${scale.top - 4}V${scale.bottom + 4}`);
  const phi = curves.progress_sparse[at], visible = Number.isFinite(phi) && shown("progress_sparse");
  $("dot").setAttribute("visibility", visible ? "visible" : "hidden");
  if (visible) {
    $("dot").setAttribute("cx", scale.x(at));
    $("dot").setAttribute("cy", scale.y(phi));
  }
  showFrame();
}

function pause() {
  cancelAnimationFrame(state.playing);
  state.playing = 0;
  $("play").textContent = "▶";
  $("play").setAttribute("aria-label", "Play");
}

function play() {
  if (state.playing) return pause();
  const last = state.episode.length - 1;
  let position = state.frame >= last ? 0 : state.frame, before = performance.now();
  const tick = (now) => {
    position += ((now - before) / 1000) * state.episode.fps * Number($("speed").value);
    before = now;
    seek(Math.floor(position));
    if (position >= last) return pause();
    state.playing = requestAnimationFrame(tick);
  };
  $("play").textContent = "❚❚";
  $("play").setAttribute("aria-label", "Pause");
  state.playing = requestAnimationFrame(tick);
}

function walk(step) {
  if (!listed.length) return;
  const place = listed.indexOf(state.episode);
  choose(listed[Math.min(listed.length - 1, Math.max(0, place < 0 ? 0 : place + step))]);
}

function followPointer() {
  const go = (event) => {
    const { left, right, last } = state.scale;
    const x = event.clientX - $("chart").firstChild.getBoundingClientRect().left;
    pause();
    seek((last * (x - left)) / (right - left));
  };
  $("chart").addEventListener("pointerdown", (event) => {
    $("chart").setPointerCapture(event.pointerId);
    go(event);
  });
  $("chart").addEventListener("pointermove", (event) => { if (event.buttons) go(event); });
}

function wirePage() {
  for (const name of Object.keys(SORTS)) {
    const useful = name !== "error against truth" || REPORT.episodes.some((e) => e.error !== null);
    if (useful) $("sort").append(make("option", {}, name));
  }
  showList();
  $("filter").addEventListener("input", showList);
  $("sort").addEventListener("change", showList);
  $("slider").addEventListener("input", () => { pause(); seek(Number($("slider").value)); });
  $("play").addEventListener("click", play);
  document.addEventListener("keydown", onKey);
  followPointer();
  const asked = location.hash.slice(1);
  choose(listed.find((episode) => String(episode.index) === asked) ?? listed[0]);
  new ResizeObserver(() => {
    if (!state.scale || state.scale.width === scaleOf().width) return;
    showChart();
    seek(state.frame);
  }).observe($("chart"));
}

/* What a key does on every page about labels; null where a field is being filled in. */
function usualKeys(event) {
  const target = event.target;
  const typing = ["SELECT", "TEXTAREA"].includes(target.tagName)
    || (target.tagName === "INPUT" && target.type !== "range");
  if (event.ctrlKey || event.metaKey || event.altKey) return null;
  if (typing && event.key === "Escape") target.blur();
  if (typing || !state.episode) return null;
  const jump = event.shiftKey ? 10 : 1, inList = $("list").contains(target);
  const stay = (step) => { pause(); seek(state.frame + step); };
  const actions = {
    ArrowLeft: () => stay(-jump), ArrowRight: () => stay(jump),
    Home: () => stay(-Infinity), End: () => stay(Infinity),
    j: () => walk(1), k: () => walk(-1), "/": () => $("filter").focus(),
  };
  if (inList) {
    const follow = (step) => {
      walk(step);
      cards.get(state.episode.index).firstChild.focus();
    };
    Object.assign(actions, { ArrowDown: () => follow(1), ArrowUp: () => follow(-1) });
  }
  if (!["BUTTON", "SUMMARY"].includes(target.tagName)) actions[" "] = play;
  return actions;
}

function act(event, actions) {
  if (!actions || !Object.hasOwn(actions, event.key)) return;
  event.preventDefault();
  actions[event.key]();
}
