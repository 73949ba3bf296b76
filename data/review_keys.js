/* The review page: keys, buttons and dialogs. */

function mark(outcome) {
  const now = decisionOf(state.episode).outcome;
  change({ outcome: now === outcome ? null : outcome });
}

function accept() {
  const accepted = !decisionOf(state.episode).accepted;
  change({ accepted });
  if (!accepted) return;
  const rest = listed.slice(listed.indexOf(state.episode) + 1);
  const next = rest.find((episode) => !isReviewed(decisionOf(episode)));
  if (next) choose(next);
  else queue.then(() => { $("status").textContent = "no episode below is left to review"; });
}

/* What is done next waits for it, since it changes what that starts from. */
function undo() {
  const mine = ++asked;
  state.coming = true;
  const done = () => {
    if (mine !== asked) return;
    state.coming = false;
    whenThere(() => {});
  };
  send("POST", "/undo", undefined, (told) => {
    $("status").textContent = told.decision ? `undone: episode ${told.episode}` : "nothing to undo";
    if (!told.decision) return;
    const episode = REPORT.episodes.find((one) => one.index === told.episode);
    take(told);
    takeOutcome(episode);
    redrawCard(episode);
    if (state.episode !== episode) choose(episode);
  });
  queue.then(done);
}

async function write() {
  await queue;
  if (!REPORT.changed) return trouble(`Nothing was decided since version ${REPORT.version}.`);
  $("write-words").textContent = `Version ${REPORT.version} stays as it is. The new one holds all `
    + `labels, with ${plural(REPORT.changed, "changed decision")}, and the decisions themselves.`;
  $("write").returnValue = "no";
  $("write").showModal();
}

function writeNow() {
  $("status").textContent = "writing …";
  send("POST", "/write", undefined, (told) => {
    REPORT.version = told.version;
    REPORT.changed = 0;
    showFacts();
    $("status").textContent = `version ${told.version} written: ${told.folder}${told.warning}`;
  });
}

function drag(event, frame) {
  event.stopPropagation();
  event.preventDefault();
  select(frame);
  const { left, right, last } = state.scale, box = $("chart").getBoundingClientRect();
  const at = ({ clientX }) => Math.round((last * (clientX - box.left - left)) / (right - left));
  const ended = new AbortController();
  addEventListener("pointermove", (moved) => seek(at(moved)), { signal: ended.signal });
  for (const name of ["pointerup", "pointercancel"]) {
    addEventListener(name, (up) => {
      ended.abort();
      if (name === "pointerup") moveKeyframe(at(up) - frame, frame);
    }, { signal: ended.signal });
  }
}

/* To the note, and after it back to where the page was. */
function toNote() {
  const before = $("detail").scrollTop;
  $("note").focus();
  $("note").addEventListener("blur", () => { $("detail").scrollTop = before; }, { once: true });
}

const DEEDS = {
  a: accept, s: () => mark("success"), f: () => mark("failure"), m: addKeyframe, x: deleteKeyframe,
  "[": () => moveKeyframe(-1), "]": () => moveKeyframe(1),
  "{": () => moveKeyframe(-10), "}": () => moveKeyframe(10),
  ",": () => selectNext(-1), ".": () => selectNext(1),
  n: toNote, t: () => $("parts").hidden || $("subtasks").select(),
  u: undo, w: write, "?": () => $("help").showModal(),
};

function onKey(event) {
  if (document.querySelector("dialog[open]")) return;
  const usual = usualKeys(event), actions = usual && { ...usual, ...DEEDS };
  if (!actions || !Object.hasOwn(actions, event.key)) return;
  event.preventDefault();
  whenThere(actions[event.key]);
}

function wireReview() {
  $("dataset").textContent = REPORT.dataset;
  document.title = `${REPORT.dataset} – review of labels`;
  for (const button of $("decision").children) {
    button.addEventListener("click", () => {
      whenThere(DEEDS[button.dataset.do]);
      if (button.dataset.do !== "n") button.blur();
    });
  }
  $("note").addEventListener("change", () => change({ note: $("note").value }));
  $("subtasks").addEventListener("change", () => {
    change({ subtasks: Number($("subtasks").value) || null });
    $("subtasks").blur();
  });
  $("show").addEventListener("change", () => {
    showList();
    $("show").blur();
  });
  $("help-button").addEventListener("click", DEEDS["?"]);
  $("write-button").addEventListener("click", write);
  $("write").addEventListener("close", () => {
    if ($("write").returnValue === "yes") writeNow();
  });
}

async function begin() {
  REPORT = await ask("GET", "/episodes");
  for (const episode of REPORT.episodes) takeOutcome(episode);
  wireReview();
  showFacts();
  wirePage();
}

begin().catch((error) => trouble(error.message));
