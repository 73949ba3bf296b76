const block = (id) => {
  const element = document.getElementById(id);
  return element ? JSON.parse(element.textContent) : null;
};
const REPORT = block("summary");
const state = { episode: null, curves: null, media: null, frame: 0, playing: 0, scale: null };
const marks = () => [], overlays = () => [], wanted = () => true;

/* ---- header ---- */

const brief = (text) => (/^[0-9a-f]{24,}$/.test(text) ? text.slice(0, 12) + "…" : text);

function showHeader() {
  $("dataset").textContent = REPORT.dataset;
  const known = REPORT.metadata, count = REPORT.episodes.length, all = REPORT.episodes_in_dataset;
  const share = REPORT.rows ? (100 * REPORT.invalid) / REPORT.rows : 0;
  const facts = [
    ["episodes", count === all ? count.toLocaleString("en") : `${count} of ${all}`],
    ["rows", REPORT.rows.toLocaleString("en")],
    ["invalid", `${REPORT.invalid.toLocaleString("en")} (${share.toFixed(1)} %)`],
  ];
  for (const [key, name] of [["model_fingerprint", "model"], ["decoder", "decoder"],
    ["references", "references"], ["gamma", "γ"]]) {
    if (key in known) facts.push([name, known[key]]);
  }
  for (const [name, value] of facts) {
    $("facts").append(make("div", {}, make("dt", {}, name),
      make("dd", { title: value, "data-fact": name }, brief(value))));
  }
  for (const [key, value] of Object.entries(known)) {
    $("metadata").append(make("dt", {}, key), make("dd", { tabindex: "0" }, value));
  }
}

/* ---- one episode ---- */

function choose(episode) {
  pause();
  if (state.episode) cards.get(state.episode.index)?.firstChild.removeAttribute("aria-current");
  const button = cards.get(episode.index).firstChild;
  button.setAttribute("aria-current", "true");
  button.scrollIntoView({ block: "nearest" });
  const stored = block(`curves-${episode.index}`);
  const curves = Object.fromEntries(
    Object.entries(stored.curves).map(([key, told]) => [key, curveOf(told, episode.length)]));
  const media = block(`media-${episode.index}`);
  Object.assign(state, { episode, curves, media, valid: bytes(stored.valid),
    subtasks: stored.subtasks, frame: 0 });
  history.replaceState(null, "", `#${episode.index}`);
  showTitle(episode);
  showViews(episode);
  $("slider").max = episode.length - 1;
  showLegend();
  showChart();
  seek(0);
}

function showViews(episode) {
  if (!episode.media) {
    const count = REPORT.episodes.filter((other) => other.media).length;
    $("views").replaceChildren(make("p", { class: "note" },
      `No pictures here: they were made for the ${count} most suspicious episodes (--max-media).`));
    return;
  }
  $("views").replaceChildren(...Object.entries(state.media.views).map(([name, view]) => {
    const picture = make("div", { class: "picture", role: "img", "aria-label": `view ${name}` });
    picture.style.backgroundImage = `url("data:image/jpeg;base64,${view.jpeg}")`;
    picture.style.backgroundSize = `${100 * state.media.across}% ${100 * state.media.down}%`;
    return make("figure", { class: "view", "data-view": name }, picture,
      make("figcaption", {}, name));
  }));
}

function showFrame() {
  if (!state.media) return;
  const { frames, across, down, views } = state.media;
  let tile = 0;
  while (tile + 1 < frames.length && frames[tile + 1] <= state.frame) tile++;
  const left = across > 1 ? (100 * (tile % across)) / (across - 1) : 0;
  const top = down > 1 ? (100 * Math.floor(tile / across)) / (down - 1) : 0;
  for (const figure of $("views").children) {
    const [picture, caption] = figure.children, name = figure.dataset.view;
    picture.style.backgroundPosition = `${left}% ${top}%`;
    picture.classList.toggle("missing", views[name].missing.includes(tile));
    caption.textContent = `${name} · frame ${frames[tile]}`;
  }
}

const onKey = (event) => act(event, usualKeys(event));

showHeader();
wirePage();
