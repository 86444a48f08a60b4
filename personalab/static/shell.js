// The frame of the editor: what was done, where one is, what the kernel says, and the keys.
//
// Everything stands in the flow of the page, panels that open included, because a notebook's output cuts off what
// hangs out of it. Buttons that cannot do anything just now stay in place (aria-disabled), or the focus would be lost.

const REST = 3000; // ms of quiet after an edit until the outputs stored in the notebook follow it

/** Made once for each model, before any view of it: the store outlives the views. */
function initialize({ model }) { storeOf(model); }

/** Show the editor in `el`; returns what takes it away again. */
function render({ model, el }) {
  const store = storeOf(model);
  const root = h("section.personalab-editor", { [SUPPRESSED]: "true" });
  root.append(editorHead(store), noticesOf(store), editorMain(store), populationPart(store));
  el.append(root);
  store.on(root, ["domain"], () => root.setAttribute("aria-label", `Blueprint editor: ${store.state.domain || "none yet"}`));
  followKeys(root, store);
  const ends = [followTheme(root), keepKeys(root), followRest(root, store)];
  keepFocus(root, store);
  return () => {
    ends.forEach((end) => end());
    store.forget(root);
    root.remove();
  };
}

// -- the theme, the keys, the rest --

function followTheme(root) {
  const scheme = window.matchMedia("(prefers-color-scheme: dark)");
  const follow = () => root.classList.toggle("pl-dark", isDark(root, scheme.matches));
  const watcher = new MutationObserver(follow);
  watcher.observe(document.body, { attributes: true });
  scheme.addEventListener("change", follow);
  follow();
  const later = requestAnimationFrame(follow); // a notebook puts the view on the page after it is made
  return () => { watcher.disconnect(); scheme.removeEventListener("change", follow); cancelAnimationFrame(later); };
}

/** Whether the notebook is dark: JupyterLab says so; elsewhere the nearest background tells, or what the reader prefers. */
function isDark(root, preferred) {
  const light = document.body.dataset.jpThemeLight;
  if (light !== undefined) return light === "false";
  for (let place = root.isConnected ? root.parentElement : document.body; place; place = place.parentElement) {
    const [red, green, blue, opaque = 1] = getComputedStyle(place).backgroundColor.match(/[\d.]+/g)?.map(Number) ?? [0, 0, 0, 0];
    if (opaque > 0.5) return 0.3 * red + 0.59 * green + 0.11 * blue < 110;
  }
  return preferred;
}

const SUPPRESSED = "data-lm-suppress-shortcuts";

/**
 * Keep the notebook's own keys (a, b, dd, arrows, Shift+Enter) from acting on cells while the editor has the focus.
 * JupyterLab's shortcuts match the focused element before they look at what holds it, so that element is marked too,
 * and before Lab's listener runs. What is pressed with Ctrl or Cmd, such as Save, stays Lab's where it is not ours.
 */
function keepKeys(root) {
  const mark = (event) => {
    if (!root.contains(event.target)) return;
    const theirs = (event.ctrlKey || event.metaKey) && !historyKey(event) && event.key !== "Enter";
    for (const each of [root, event.target]) {
      if (theirs) each.removeAttribute(SUPPRESSED);
      else each.setAttribute(SUPPRESSED, "true");
    }
  };
  window.addEventListener("keydown", mark, true);
  // Lab also listens on the box itself, to take the line break of Enter and the box's own undo away from it.
  root.addEventListener("beforeinput", (event) => event.stopPropagation(), true);
  return () => window.removeEventListener("keydown", mark, true);
}

const WRITTEN = "textarea, input:not([type='range'], [type='checkbox'], [type='radio'])";

function followKeys(root, store) {
  const unsettled = new WeakSet(); // boxes with text that no command has taken yet: there, undo is the box's own
  const settle = (event) => unsettled.delete(event.target);
  root.addEventListener("input", (event) => { if (event.target.matches(WRITTEN)) unsettled.add(event.target); });
  root.addEventListener("change", settle);
  root.addEventListener("focusout", settle);
  root.addEventListener("keydown", (event) => {
    if (event.defaultPrevented) return;
    if (event.key === "Escape") return leaveOrClose(root, event);
    const op = historyKey(event);
    if (!op || unsettled.has(event.target)) return;
    event.preventDefault();
    event.stopPropagation();
    goInHistory(store, op);
  });
}

function historyKey(event) {
  if (!(event.ctrlKey || event.metaKey) || event.altKey) return null;
  const key = event.key.toLowerCase();
  if (key === "z") return event.shiftKey ? "redo" : "undo";
  return key === "y" && !event.shiftKey ? "redo" : null;
}

/** What undo or redo would undo or redo: the step's name, or undefined where there is none. */
function stepOf({ steps, step }, op) {
  return op === "undo" ? (step > 0 ? steps[step] : undefined) : steps[step + 1];
}

function goInHistory(store, op) {
  if (store.underway || stepOf(store.state, op) !== undefined) store.send(op);
}

/** Escape closes what is open; where nothing is, it gives the notebook its keys back. */
function leaveOrClose(root, event) {
  const open = root.querySelector(".pl-drawer[aria-expanded='true']");
  event.preventDefault();
  event.stopPropagation();
  if (open) { open.click(); open.focus(); }
  else giveKeysBack(root);
}

function giveKeysBack(root) {
  for (const place of [root.closest(".jp-Cell"), root.closest(".jp-Notebook")]) {
    place?.focus({ preventScroll: true });
    if (place && document.activeElement === place) return;
  }
  document.activeElement?.blur();
}

/**
 * Have the focus go on nearby where what has it goes away, as the button of a rule that was removed does; else the keys
 * would be the notebook's all of a sudden. It goes to a box rather than to a button, which would do the next thing.
 */
function keepFocus(root, store) {
  let held = []; // what has the focus, and what that is in, from the inside out
  const goes = (element) => !root.contains(element) || !element.checkVisibility();
  const look = () => requestAnimationFrame(() => {
    const { activeElement } = root.getRootNode();
    if (!held.length || !goes(held[0]) || (activeElement !== held[0] && activeElement !== null && activeElement !== document.body)) return;
    const near = held.filter((element) => !goes(element)).map((element) => boxesIn(element)[0] ?? tabStops(element)[0]);
    near.find(Boolean)?.focus({ preventScroll: true });
  });
  root.addEventListener("focusin", ({ target }) => {
    held = [];
    for (let place = target; place !== root.parentElement; place = place.parentElement) held.push(place);
  });
  root.addEventListener("focusout", ({ target }) => requestAnimationFrame(() => { if (held[0] === target && !goes(target) && !target.matches(":focus")) held = []; }));
  root.addEventListener("click", look);
  store.on(root, ["rev"], look);
}

const tabStops = (place) => [...place.querySelectorAll("button, select, input, [tabindex='0']")].filter((stop) => stop.checkVisibility());

/** Have the stored outputs follow an edit once the hands rest: the focus has left, or some seconds have passed. */
function followRest(root, store) {
  store.rested ??= store.state.rev; // of the store, so that two views of it ask once
  let timer = null;
  const rest = () => {
    clearTimeout(timer);
    if (store.rested === store.state.rev) return;
    store.rested = store.state.rev;
    store.send("rest", {}, { key: "rest" });
  };
  store.on(root, ["rev"], () => {
    clearTimeout(timer);
    if (store.rested !== store.state.rev) timer = setTimeout(rest, REST);
  });
  root.addEventListener("focusout", (event) => { if (!root.contains(event.relatedTarget)) rest(); });
  window.addEventListener("pagehide", rest);
  return () => { clearTimeout(timer); window.removeEventListener("pagehide", rest); };
}

// -- the head --

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

// -- what the kernel says --

function noticesOf(store) {
  return h("div.pl-notices", {}, silenceBanner(store), errorAlert(store), workBar(store), remarksOf(store));
}

function silenceBanner(store) {
  const banner = h("div.pl-banner", { role: "status" });
  store.on(banner, ["silent"], () => {
    banner.hidden = !store.silent && !store.gone;
    banner.textContent = store.gone
      ? "The kernel that ran this editor is gone. Run the cell again; edits from here on are not kept."
      : store.silent ? "The kernel has not answered for some seconds. What you see may not be in form.blueprint yet." : "";
  });
  return banner;
}

function errorAlert(store) {
  const message = h("p");
  const hint = h("p.pl-soft");
  const close = h("button.pl-quiet", { type: "button", "aria-label": "Dismiss", onclick: () => { alert.hidden = true; } }, icon("remove"));
  const alert = h("div.pl-error", { role: "alert" }, h("div", {}, message, hint), close);
  store.on(alert, ["error"], () => {
    const { error } = store.state;
    alert.hidden = !error;
    message.textContent = error?.message ?? "";
    hint.textContent = error?.hint ?? "";
    hint.hidden = !error?.hint;
  });
  return alert;
}

/** What the model is at, how far, and the way out. */
function workBar(store) {
  const text = h("span.pl-worktext");
  const bar = h("progress", { "aria-label": "Progress" });
  const spent = h("span.pl-soft");
  const cancel = h("button", { type: "button", onclick: () => store.send("cancel", {}, { key: "cancel" }) }, "Cancel");
  const group = h("div.pl-work", { role: "group", "aria-label": "The model at work" }, text, bar, spent, cancel);
  let [began, ticking] = [0, null];
  const tick = () => {
    const tokens = store.state.work?.tokens;
    spent.textContent = [tokens ? count(tokens, "token") : "", `${Math.round((Date.now() - began) / 1000)} s`].filter(Boolean).join(" · ");
  };
  store.on(group, ["work"], () => {
    const { work } = store.state;
    group.hidden = !work;
    if (!work || ticking === null) { clearInterval(ticking); ticking = null; }
    if (!work) return;
    if (ticking === null) { began = Date.now(); ticking = setInterval(tick, 1000); }
    text.textContent = work.text || (work.what === "write" ? "Writing texts" : "Inferring a blueprint");
    if (work.total) { bar.max = work.total; bar.value = work.done; } else bar.removeAttribute("value");
    tick();
  });
  return group;
}

function remarksOf(store) {
  const summary = h("summary");
  const list = h("ul");
  const remarks = h("details.pl-remarks", {}, summary, list);
  store.on(remarks, ["warnings"], () => {
    const { warnings } = store.state;
    remarks.hidden = !warnings.length;
    summary.textContent = `${count(warnings.length, "remark")} on the blueprint`;
    refill(list, warnings, () => h("li"), (item, { path, reason, fix }) => {
      item.replaceChildren(h("span.pl-mono", {}, path), ` ${reason}`, ...(fix ? [h("span.pl-soft", {}, ` ${capital(fix)}`)] : []));
    });
  });
  return remarks;
}

// -- where one is --

function editorMain(store) {
  const main = h("div.pl-main", {}, navigation(store), detailPane(store));
  store.on(main, ["has_blueprint"], () => { main.hidden = !store.state.has_blueprint; });
  return main;
}

const KIND_SIGNS = { categorical: "cat", numeric: "num", text: "txt" };

function navigation(store) {
  const make = () => h("li", {}, h("button.pl-quiet.pl-go", { type: "button", onclick: (event) => store.select(event.currentTarget.goal) }));
  const fields = h("ul", { "aria-label": "Fields" });
  const ends = h("ul.pl-goals", { "aria-label": "The blueprint as a whole" });
  const nav = h("nav.pl-nav", { "aria-label": "Parts of the blueprint" }, fields, addFieldForm(store), ends);
  const goals = () => [...nav.querySelectorAll(".pl-go")];
  nav.addEventListener("keydown", (event) => stepThrough(event, goals()));
  store.on(nav, ["names", "fields", "constraints", "selected"], () => {
    const { names, constraints: { length } } = store.state;
    refill(fields, names, make, ({ firstChild }, name) => dressGoal(store, firstChild, name, fieldSigns(store.field(name))));
    const whole = [[RULES, length ? `Rules (${length})` : "Rules"], [ABOUT, "About"]];
    refill(ends, whole, make, ({ firstChild }, [goal, word]) => dressGoal(store, firstChild, goal, [word]));
    oneStop(fields);
    oneStop(ends);
  });
  return nav;
}

/** Have the Tab key stop once in a list: at what is chosen, else at the first. */
function oneStop(list) {
  const goals = [...list.querySelectorAll(".pl-go")];
  const stop = goals.find((goal) => goal.hasAttribute("aria-current")) ?? goals[0];
  for (const goal of goals) goal.tabIndex = goal === stop ? 0 : -1;
}

function dressGoal(store, button, goal, content) {
  const current = store.selected === goal;
  button.goal = goal;
  if (current) button.setAttribute("aria-current", "true");
  else button.removeAttribute("aria-current");
  const marks = JSON.stringify(content.map((each) => each.textContent ?? each));
  if (button.marks !== marks) { button.marks = marks; button.replaceChildren(...content); }
}

/** A field in the list: its name, its kind, what it hangs on, and whether it was changed, in words for the ear. */
function fieldSigns({ name, kind, parents, changed }) {
  const words = [kind, parents.length ? `from ${parents.join(" and ")}` : "", changed ? "changed" : ""].filter(Boolean).join(", ");
  return [
    h("span.pl-gokind", { "aria-hidden": "true", title: kind }, KIND_SIGNS[kind] ?? kind),
    h("span.pl-goname", {}, name),
    h("span.pl-sr", {}, ` (${words})`),
    changed ? h("span.pl-godot", { "aria-hidden": "true", title: "changed" }, "●") : null,
    parents.length ? h("span.pl-gofrom", { "aria-hidden": "true" }, `← ${parents.join(", ")}`) : null,
  ].filter(Boolean);
}

/** Arrow keys, Home and End among buttons of which one is chosen: the chosen one follows the focus. */
function stepThrough(event, buttons) {
  const at = buttons.indexOf(event.target);
  const moves = { ArrowDown: at + 1, ArrowRight: at + 1, ArrowUp: at - 1, ArrowLeft: at - 1, Home: 0, End: buttons.length - 1 };
  if (at < 0 || !(event.key in moves) || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  const next = buttons[(moves[event.key] + buttons.length) % buttons.length];
  next.click();
  next.focus();
}

function addFieldForm(store) {
  const name = h("input", { id: fresh("name"), type: "text", autocomplete: "off", "aria-label": "Name of the new field", placeholder: "name" });
  const kind = h("select", { "aria-label": "Kind of the new field" },
    [["categorical", "categories"], ["numeric", "number"], ["text", "text"]].map(([value, word]) => h("option", { value }, word)));
  name.spellcheck = false;
  const wrong = complaint(name);
  const form = h("form.pl-add", {}, name, h("div.pl-together", {}, kind, h("button", { type: "submit" }, "Add")), wrong);
  const made = drawer("Add field", form);
  made.button.prepend(icon("add"));
  oneOpen([made]);
  made.button.addEventListener("click", () => { if (!made.panel.hidden) name.focus(); });
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (!name.value.trim()) return wrong.say("A field has a name.");
    const done = await attempt(store, wrong, "add_field", { name: name.value.trim(), kind: kind.value });
    if (!done) return name.focus();
    name.value = "";
    made.button.click();
    made.button.closest("nav").querySelector("[aria-current]")?.focus();
  });
  return h("div.pl-adder", {}, made.button, made.panel);
}

/** The editor of what is chosen. One with something typed that is not valid is kept, out of sight, for the way back. */
function detailPane(store) {
  const pane = h("section.pl-detail", { tabindex: "-1" });
  const kept = new Map();
  let shown = null;
  const show = () => {
    const key = detailKey(store);
    if (key === shown) return;
    const at = boxesIn(pane).indexOf(document.activeElement);
    const held = pane.contains(document.activeElement);
    for (const [each, editor] of kept) {
      editor.hidden = true;
      if (!isDetail(store, each) || !editor.querySelector("[aria-invalid='true']")) { editor.remove(); kept.delete(each); }
    }
    shown = key;
    if (!kept.has(key)) kept.set(key, detailOf(store));
    kept.get(key).hidden = false;
    if (!kept.get(key).isConnected) pane.append(kept.get(key));
    pane.setAttribute("aria-label", store.selected === RULES ? "Rules" : store.selected === ABOUT ? "About" : store.selected ?? "Nothing");
    if (held && !boxesIn(pane).includes(document.activeElement)) (boxesIn(pane)[at] ?? pane).focus({ preventScroll: true });
  };
  store.on(pane, ["selected", "names", "fields"], show);
  return pane;
}

/** The boxes to write in; after a renaming the focus goes on in the same one. Never a button: it would do the next thing. */
const boxesIn = (pane) => [...pane.querySelectorAll("input[type='text'], textarea")].filter((box) => box.checkVisibility());

const detailKey = ({ selected, state }) => `${state.fields[selected]?.kind ?? ""}:${selected}`;

/** Whether what an editor was made for is still there. */
function isDetail({ state }, key) {
  const [kind, ...name] = key.split(":");
  return kind === "" || state.fields[name.join(":")]?.kind === kind;
}

function detailOf(store) {
  if (store.selected === RULES) return rulesEditor(store);
  if (store.selected === ABOUT || !store.field(store.selected)) return aboutEditor(store);
  return h("div", {}, h("h3.pl-sr", {}, store.selected), fieldEditor(store, store.selected));
}

// -- the people --

function populationPart(store) {
  const part = h("div.pl-peoplepart");
  let built = false;
  store.on(part, ["population"], () => {
    part.hidden = !store.state.population;
    if (built || part.hidden) return;
    built = true;
    part.append(summaryLine(store), tabsOf(store, [["Fidelity", fidelityView], ["Table", peopleView], ["Personas", cardsView]]));
  });
  return part;
}

/** Tabs; a view is made when it is first looked at. */
function tabsOf(store, views) {
  const list = h("div.pl-tabs", { role: "tablist", "aria-label": "Views of the people" });
  const parts = views.map(([name, view]) => {
    const panel = h("div.pl-tabpanel", { role: "tabpanel", id: fresh("view"), tabindex: "0", hidden: true });
    const tab = h("button.pl-quiet.pl-tab", { type: "button", role: "tab", id: fresh("tab"), "aria-controls": panel.id, onclick: () => show(tab) }, name);
    panel.setAttribute("aria-labelledby", tab.id);
    list.append(tab);
    return { tab, panel, view };
  });
  const show = (chosen) => {
    for (const { tab, panel, view } of parts) {
      tab.setAttribute("aria-selected", String(tab === chosen));
      tab.tabIndex = tab === chosen ? 0 : -1;
      panel.hidden = tab !== chosen;
      if (tab === chosen && !panel.hasChildNodes()) panel.append(view(store));
    }
  };
  list.addEventListener("keydown", (event) => stepThrough(event, parts.map(({ tab }) => tab)));
  show(parts[0].tab);
  return h("div", {}, list, ...parts.map(({ panel }) => panel));
}

export default { initialize, render };
