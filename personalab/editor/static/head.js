// The head: what was done, with undo and redo, what differs, the file, and a sentence to start from.

function editorHead(store) {
  const title = h("h2.pl-title");
  const status = h("p.pl-status.pl-soft", { role: "status" });
  store.on(title, ["domain", "has_blueprint"], () => { title.textContent = store.state.domain || "A new blueprint"; });
  tellSteps(store, status);
  const drawers = [promptDrawer(store), stepsDrawer(store), changesDrawer(store), fileDrawer(store)];
  const bar = h("div.pl-bar", { role: "group", "aria-label": "What was done" },
    historyButton(store, "undo"), historyButton(store, "redo"), ...drawers.slice(1).map(({ button }) => button), drawers[0].button);
  const head = h("div.pl-head", {}, h("div.pl-titles", {}, title, status), bar, ...drawers.map(({ panel }) => panel));
  oneOpen(drawers);
  return head;
}

// What a step changes, and a model that begins to work does not.
const TOLD = ["steps", "step", "diff", "domain", "rationale", "sources", "constraints", "population"];

/** Say what an answer did, for the eye and the ear. */
function tellSteps(store, status) {
  let before = { ...store.state };
  status.textContent = before.has_blueprint ? `${count(before.names.length, "field")}, ${count(before.constraints.length, "rule")}` : "Infer one from a sentence, or open a file.";
  store.on(status, ["rev"], () => {
    if (TOLD.some((key) => before[key] !== store.state[key])) status.textContent = tidings(before, store.state);
    before = { ...store.state };
  });
  store.on(status, ["refusal"], () => { if (store.refusal) status.textContent = `Not done: ${sentenceOf(store.refusal)}`; });
  store.on(status, ["saved"], () => {
    if (store.state.saved && store.state.saved !== before.saved) status.textContent = `Saved to ${store.state.saved}.`;
    before.saved = store.state.saved;
  });
}

function tidings(before, { steps, step, population }) {
  const back = step < before.step && before.steps[before.step];
  const again = step > before.step && before.steps[step] === steps[step] && before.steps.length === steps.length;
  const what = back ? `Undone: ${back}.` : again ? `Redone: ${steps[step]}.` : capital(`${steps[step] ?? "changed"}.`);
  if (!population) return what;
  if (population.drawn) return `${what} ${count(population.n, "persona")} drawn.`;
  return `${what} ${(population.edited ?? 0).toLocaleString("en")} of ${count(population.n, "persona")} changed.`;
}

const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);

function historyButton(store, op) {
  const word = capital(op);
  const button = h("button.pl-quiet", { type: "button", onclick: () => goInHistory(store, op) }, icon(op), h("span.pl-word", {}, word));
  store.on(button, ["steps", "step"], () => {
    const name = stepOf(store.state, op);
    button.setAttribute("aria-disabled", String(name === undefined));
    button.setAttribute("aria-label", name === undefined ? word : `${word}: ${name}`);
    button.title = name === undefined ? `Nothing to ${op}` : `${word}: ${name}`;
  });
  return button;
}

/** A button and the panel that it opens. */
function drawer(label, ...content) {
  const panel = h("div.pl-leaf", { id: fresh("leaf"), hidden: true, role: "group", "aria-label": label }, ...content);
  const button = h("button.pl-quiet.pl-drawer", { type: "button", "aria-expanded": "false", "aria-controls": panel.id }, label);
  return { button, panel };
}

/** Open one panel of several at a time. */
function oneOpen(drawers) {
  const show = (wanted) => drawers.forEach(({ button, panel }) => {
    panel.hidden = panel !== wanted && !panel.stays;
    button.setAttribute("aria-expanded", String(panel === wanted));
  });
  for (const { button, panel } of drawers) button.addEventListener("click", () => show(panel.hidden ? panel : null));
}

function stepsDrawer(store) {
  const list = h("ol.pl-steps");
  const reset = h("button", { type: "button", onclick: () => { if (store.state.step > 0) store.send("jump", { step: 0 }); } }, "Reset to start");
  const made = drawer("Steps", list, reset);
  const jump = (event) => {
    const step = [...list.children].indexOf(event.currentTarget.parentElement);
    if (step !== store.state.step) store.send("jump", { step });
  };
  store.on(made.panel, ["steps", "step"], () => {
    const { steps, step } = store.state;
    refill(list, steps, () => h("li", {}, h("button.pl-quiet", { type: "button", onclick: jump })), ({ firstChild }, name, at) => {
      firstChild.replaceChildren(name, ...(at > step ? [h("span.pl-sr", {}, " (undone)")] : []));
      firstChild.classList.toggle("pl-undone", at > step);
      if (at === step) firstChild.setAttribute("aria-current", "step");
      else firstChild.removeAttribute("aria-current");
    });
    reset.setAttribute("aria-disabled", String(step === 0));
  });
  made.button.addEventListener("click", () => requestAnimationFrame(() => {
    list.scrollTop = list.querySelector("[aria-current]").offsetTop - list.offsetTop - list.clientHeight / 2;
  }));
  return made;
}

function changesDrawer(store) {
  const list = h("ul.pl-diff.pl-mono", { tabindex: "0", "aria-label": "Changes since the start" });
  const none = h("p.pl-soft", {}, "Nothing differs from the blueprint that this editor opened with.");
  const made = drawer("Changes", none, list);
  store.on(made.panel, ["diff"], () => {
    const { diff } = store.state;
    made.button.textContent = diff.length ? `Changes (${diff.length.toLocaleString("en")})` : "Changes";
    none.hidden = diff.length > 0;
    list.hidden = !diff.length;
    refill(list, diff, () => h("li"), (item, line) => { item.textContent = line; });
  });
  return made;
}

function fileDrawer(store) {
  const path = h("input.pl-path", { type: "text", id: fresh("path"), placeholder: "blueprint.yaml", autocomplete: "off" });
  path.spellcheck = false;
  const wrong = complaint(path);
  const saved = h("p.pl-soft", { role: "status" });
  const act = async (op) => {
    const where = path.value.trim() || path.placeholder;
    const done = await attempt(store, wrong, op, { path: where });
    if (done) saved.textContent = `${op === "save" ? "Saved to" : "Opened from"} ${where} at ${new Date().toLocaleTimeString("en-GB")}.`;
  };
  const button = (op) => h("button", { type: "button", onclick: () => act(op) }, capital(op));
  const made = drawer("File", h("div.pl-together", {}, h("label", { for: path.id }, "YAML file"), path, button("save"), button("open")), wrong, saved);
  store.on(made.panel, ["saved"], () => {
    if (store.state.saved && (!path.value || path.value === saved.path)) path.value = store.state.saved;
    saved.path = store.state.saved;
    saved.textContent = store.state.saved ? `Saved to ${store.state.saved}` : "Not saved to a file yet.";
  });
  return made;
}

// -- a sentence to start from --

function promptDrawer(store) {
  const prompt = h("textarea", { id: fresh("prompt"), rows: 2, placeholder: "10 League of Legends players from around the globe" });
  const number = h("input", { id: fresh("count"), type: "number", min: 1, step: 1, value: "10" });
  const grounding = h("select", { id: fresh("grounding") });
  const wrong = { prompt: complaint(prompt), number: complaint(number) };
  const infer = h("button.pl-primary", { type: "submit" }, "Infer");
  const model = h("span.pl-soft");
  const form = h("form.pl-prompt", { "aria-label": "New from a sentence", novalidate: true },
    h("label", { for: prompt.id }, "Who are the people?"), prompt, wrong.prompt,
    h("p.pl-soft", {}, "A model infers which fields matter, how they are distributed and what depends on what; so many people are then drawn by arithmetic."),
    h("div.pl-together", {}, h("label", { for: number.id }, "How many"), number,
      h("label", { for: grounding.id }, "Grounding"), grounding, infer, model), wrong.number);
  const submit = () => {
    const n = typed(number.value);
    wrong.prompt.say(prompt.value.trim() ? null : "Say in a sentence who the people are.");
    wrong.number.say(Number.isInteger(n) && n > 0 ? null : "How many is a whole number from 1 up.");
    if (!wrong.prompt.hidden || !wrong.number.hidden || store.state.work) return;
    attempt(store, wrong.prompt, "infer", { prompt: prompt.value.trim(), count: n, grounding: grounding.value });
  };
  form.addEventListener("submit", (event) => { event.preventDefault(); submit(); });
  prompt.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) { event.preventDefault(); submit(); }
  });
  return foldedPrompt(store, form, { grounding, infer, model });
}

/** The form stands open where there is no blueprint yet, else behind a button. */
function foldedPrompt(store, form, { grounding, infer, model }) {
  const made = drawer("New", form);
  made.button.setAttribute("aria-label", "New from a sentence");
  made.panel.setAttribute("aria-label", "New from a sentence");
  store.on(made.panel, ["groundings", "model", "work"], () => {
    const { groundings, work } = store.state;
    refill(grounding, groundings, () => h("option"), (option, name) => { option.value = option.textContent = name; });
    model.textContent = store.state.model ? `asks ${store.state.model}` : "";
    infer.setAttribute("aria-disabled", String(Boolean(work)));
  });
  store.on(made.panel, ["has_blueprint"], () => {
    const first = !store.state.has_blueprint;
    if (made.panel.stays === first) return;
    made.panel.stays = made.button.hidden = first;
    made.panel.hidden = !first;
    made.button.setAttribute("aria-expanded", "false");
  });
  return made;
}
