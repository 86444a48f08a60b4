// A field whole: its name and place, what it means, what it depends on, its values, and what is drawn from where.
//
// The parts are made once and follow the state. Only where the field changes its make (a base comes or goes, the first
// parent is set, the last one taken away) is the part concerned made anew.

PATHS.rename = "M3 15l1-4 8-8 3 3-8 8zM10.5 4.5l3 3";

/** Everything about one field. */
function fieldEditor(store, name) {
  const element = h("section.pl-fieldeditor", { "aria-label": `field ${name}` });
  element.append(fieldHead(store, name), descriptionEditor(store, name), parentsEditor(store, name), distributionEditor(store, name));
  return element;
}

/** Call `then` with a field now and whenever it, or one of `keys`, changes, for as long as there is such a field. */
function follow(store, element, name, then, keys = ["fields"]) {
  store.on(element, keys, () => { const field = store.field(name); if (field) then(field); });
  return element;
}

/** A button that shows an icon and says what it does. */
function iconButton(kind, label, then) {
  const onclick = () => { if (made.getAttribute("aria-disabled") !== "true") then(); };
  const made = h("button.pl-quiet.pl-tool", { type: "button", title: label, "aria-label": label, onclick }, icon(kind));
  return made;
}

/** Whether a button can do anything just now; it stays in place, so that the focus does too. */
const able = (button, can) => button.setAttribute("aria-disabled", String(!can));

function fieldHead(store, name) {
  const input = h("input.pl-box.pl-name", { type: "text", autocomplete: "off", spellcheck: false, value: name, "aria-label": `${name}: name` });
  const wrong = complaint(input);
  const kind = h("span.pl-kind");
  const asked = h("div.pl-asked", { role: "group", hidden: true, "aria-label": `${name}: what depends on it` });
  const place = (by) => attempt(store, wrong, "move_field", { field: name, by });
  const [up, down] = [iconButton("up", `${name}: move up`, () => place(-1)), iconButton("down", `${name}: move down`, () => place(1))];
  const copy = iconButton("copy", `${name}: duplicate`, () => attempt(store, wrong, "duplicate_field", { field: name }));
  const remove = iconButton("remove", `${name}: remove`, () => removeField(store, name, { asked, wrong, remove }));
  renaming(store, name, input, wrong);
  const element = h("header.pl-fieldhead", {}, h("div.pl-line", {}, input, kind, h("span.pl-tools", {}, up, down, copy, remove)), wrong, asked);
  return follow(store, element, name, (field) => {
    kind.textContent = field.kind;
    const at = store.state.names.indexOf(name);
    able(up, at > 0);
    able(down, at < store.state.names.length - 1);
  }, ["fields", "names"]);
}

function renaming(store, name, input, wrong) {
  const isTyped = () => input.value.trim() !== name;
  const commit = () => {
    if (!isTyped()) wrong.say(null);
    else if (!input.value.trim()) wrong.say("a field needs a name");
    else if (!store.isPending(`rename_field:${name}`)) attempt(store, wrong, "rename_field", { field: name, to: input.value.trim() }, { key: `rename_field:${name}` });
  };
  input.addEventListener("blur", commit);
  input.addEventListener("keydown", (event) => { if (event.key === "Enter") commit(); });
  onEscape(input, isTyped, () => { input.value = name; wrong.say(null); });
}

/** Remove a field; where something depends on it, say what, and ask. */
function removeField(store, name, { asked, wrong, remove }) {
  const field = store.field(name);
  const gone = () => attempt(store, wrong, "remove_field", { field: name });
  if (!field.depends.length && !field.mentioned.length) { gone(); return; }
  const keep = () => { asked.hidden = true; remove.focus(); };
  const no = h("button", { type: "button", onclick: keep }, "Keep");
  const yes = h("button.pl-danger", { type: "button", onclick: () => { asked.hidden = true; gone(); } }, "Remove anyway");
  asked.replaceChildren(h("p", {}, dependence(field)), h("span.pl-line", {}, yes, no));
  asked.hidden = false;
  onEscape(no, () => true, keep);
  onEscape(yes, () => true, keep);
  no.focus();
}

/** What is lost with a field: "hours and 1 rule depend on rank: they lose it". */
function dependence({ name, depends, mentioned }) {
  const who = [...depends, ...(mentioned.length ? [count(mentioned.length, "rule")] : [])];
  const one = depends.length + mentioned.length === 1;
  return `${listed(who, who.length)} ${one ? "depends" : "depend"} on ${name}: ${one ? "it loses" : "they lose"} it`;
}

function descriptionEditor(store, name) {
  const area = h("textarea.pl-box", { rows: 2, "aria-label": `${name}: description`, placeholder: "what this field means, for those who read it and for the model" });
  const wrong = complaint(area);
  const gesture = gestures(store);
  const key = `describe:${name}`;
  let sent = null;
  let timer = null;
  const send = () => {
    clearTimeout(timer);
    timer = null;
    if (area.value === sent) return;
    sent = area.value;
    attempt(store, wrong, "describe", { field: name, text: sent }, { key, gesture: gesture.now() });
  };
  gesture.watch(area);
  area.addEventListener("input", () => { clearTimeout(timer); timer = setTimeout(send, 2 * PAUSE); });
  area.addEventListener("blur", send);
  return follow(store, h("div.pl-described", {}, h("h4", {}, "Description"), area, wrong), name, (field) => {
    if (timer || store.isPending(key) || (sent ?? "") === field.description) return;
    sent = field.description ?? "";
    if (area.value !== sent) area.value = sent;
  });
}

function parentsEditor(store, name) {
  const title = h("h4");
  const wrong = complaint(h("span"));
  const free = h("div.pl-parents");
  const names = h("summary");
  const reasons = h("div.pl-parents");
  const barred = h("details.pl-barred", {}, names, reasons); // long and seldom asked for, so folded
  const options = keyed((other) => parentOption(store, name, other, wrong));
  return follow(store, h("div.pl-depends", { role: "group", "aria-label": `${name}: parents` }, title, free, wrong, barred), name, (field) => {
    const made = options(store.state.names.filter((other) => other !== name));
    for (const option of made) option.show(field);
    title.textContent = field.parents.length ? "Depends on" : "Depends on nothing";
    arrange(free, made.filter((option) => !option.barred).map((option) => option.element));
    const others = made.filter((option) => option.barred);
    arrange(reasons, others.map((option) => option.element));
    barred.hidden = !others.length;
    if (others.length) names.textContent = `cannot be chosen: ${listed(others.map((option) => option.other), others.length)}`;
  }, ["fields", "names"]);
}

function parentOption(store, name, other, wrong) {
  const box = h("input", { type: "checkbox", "aria-label": `${name}: depends on ${other}` });
  const reason = h("span.pl-soft");
  const option = { other, barred: false, element: h("label.pl-check", {}, box, h("span", {}, other), reason) };
  box.addEventListener("change", async () => {
    const { parents } = store.field(name);
    const wanted = box.checked ? [...parents, other] : parents.filter((each) => each !== other);
    await attempt(store, wrong, "set_parents", { field: name, parents: wanted });
    if (store.field(name)) option.show(store.field(name));
  });
  option.show = (field) => {
    const why = field.parents.includes(other) ? null : tabled(field.barred)[other];
    option.barred = Boolean(why);
    Object.assign(box, { checked: field.parents.includes(other), disabled: option.barred });
    reason.textContent = why ? `(${why})` : "";
    option.element.title = why ?? "";
  };
  return option;
}

/** What is drawn from: the base, and the rows where the field has parents; made anew only where there is another make. */
function distributionEditor(store, name) {
  let make = null;
  const element = h("div.pl-drawnfrom");
  return follow(store, element, name, (field) => {
    const next = JSON.stringify([field.kind, Boolean(field.base), field.parents.length > 0]);
    if (next === make) return;
    const within = element.contains(element.getRootNode().activeElement);
    make = next;
    element.replaceChildren(...distributionParts(store, field));
    if (within) element.querySelector("button, input")?.focus();
  });
}

function distributionParts(store, field) {
  if (field.kind === "text") return [h("p.pl-soft", {}, "A text: the model writes it for each person, from the description and the fields it depends on.")];
  const child = field.parents.length > 0;
  const parts = [baseEditor(store, field, child)];
  if (field.kind === "categorical") parts.push(valuesForm(store, field.name));
  parts.push(ownFidelity(store, field.name));
  if (child) parts.push(h("h4", {}, `By ${listed(field.parents, 4)}`), conditionalsTable(store, field));
  return parts;
}

/** The field's own distribution: all there is for a root, and what holds where no row does for a child. */
function baseEditor(store, field, child) {
  const { name, base, kind } = field;
  const title = h("h4", {}, child ? "Where no row below holds" : kind === "numeric" ? "Distribution" : "Shares");
  const toggle = h("button", { type: "button" }, base ? "Remove the base" : "Add a base");
  const wrong = complaint(toggle);
  toggle.addEventListener("click", () => attempt(store, wrong, base ? "remove_base" : "add_base", { field: name }));
  const tools = (row) => valueTools(store, name, row);
  const shown = base ? heldEditor(store, field, null, tools) : kind === "categorical" ? valueList(store, name) : null;
  return h("div.pl-base", {}, h("div.pl-line", {}, title, child && toggle), wrong,
    !base && h("p.pl-soft", {}, "No base is needed: every case has a row below, its own or one that it follows."), shown);
}

/** The values of a field without a base: their names and order only. */
function valueList(store, name) {
  const element = h("div.pl-weightlist.pl-bare");
  const rows = keyed((value) => {
    const label = h("span.pl-value", { title: value }, value);
    const wrong = complaint(label);
    const row = { value, label, wrong };
    row.element = h("div.pl-weight.pl-bare", {}, label, valueTools(store, name, row), wrong);
    return row;
  });
  return follow(store, element, name, (field) => settle(element, rows(field.values).map((row) => row.element)));
}

/** The buttons beside a value: rename, move up and down, remove. */
function valueTools(store, name, row) {
  const send = (op, args) => attempt(store, row.wrong, op, { field: name, value: row.value, ...args });
  const rename = iconButton("rename", "", () => renameValue(store, name, row, rename));
  const up = iconButton("up", "", () => send("move_value", { by: -1 }));
  const down = iconButton("down", "", () => send("move_value", { by: 1 }));
  const remove = iconButton("remove", "", async () => {
    const beside = row.element.nextElementSibling ?? row.element.previousElementSibling;
    if (await send("remove_value", {})) beside.querySelector(".pl-tools").lastChild.focus();
  });
  const named = [[rename, "rename"], [up, "move up"], [down, "move down"], [remove, "remove"]];
  row.called = (value) => { for (const [button, what] of named) { button.title = what; button.setAttribute("aria-label", `${name}: ${what} ${value}`); } };
  row.called(row.value);
  const tools = h("span.pl-tools", {}, rename, up, down, remove);
  return follow(store, tools, name, ({ values }) => {
    const at = values.indexOf(row.value);
    able(up, at > 0);
    able(down, at < values.length - 1);
    able(remove, values.length > 1);
  });
}

/** Turn a value's label into a box until its new name is sent, or left with Escape. */
function renameValue(store, name, row, button) {
  const from = row.value;
  const input = h("input.pl-box.pl-value", { type: "text", autocomplete: "off", value: from, "aria-label": `${name}: new name of ${from}` });
  const close = () => { row.wrong.say(null); if (input.isConnected) { input.replaceWith(row.label); button.focus(); } };
  let sent = false;
  const commit = async () => {
    const to = input.value.trim();
    if (sent || !input.isConnected) return;
    if (to === from) { close(); return; }
    if (!to) { row.wrong.say("a value needs a name"); return; }
    sent = true;
    const done = await attempt(store, row.wrong, "rename_value", { field: name, value: from, to });
    sent = false;
    if (done) close();
  };
  input.addEventListener("blur", commit);
  input.addEventListener("keydown", (event) => { if (event.key === "Enter") commit(); });
  onEscape(input, () => true, close);
  row.label.replaceWith(input);
  input.select();
  input.focus();
}

/** Below the values: add one, and whether they have an order. */
function valuesForm(store, name) {
  const input = h("input.pl-box", { type: "text", autocomplete: "off", placeholder: "another value", "aria-label": `${name}: value to add` });
  const wrong = complaint(input);
  const submit = async (event) => {
    event.preventDefault();
    const value = input.value.trim();
    if (!value) wrong.say("type the value's name");
    else if (await attempt(store, wrong, "add_value", { field: name, value })) input.value = "";
  };
  const ordered = h("input", { type: "checkbox", "aria-label": `${name}: ordered` });
  ordered.addEventListener("change", () => attempt(store, wrong, "set_ordered", { field: name, ordered: ordered.checked }));
  onEscape(input, () => input.value, () => { input.value = ""; wrong.say(null); });
  const element = h("form.pl-valuesform", { onsubmit: submit }, input, h("button", { type: "submit" }, icon("add"), "value"),
    h("label.pl-check", {}, ordered, h("span", {}, "ordered"), h("span.pl-soft", {}, "least first; fields that depend on it are interpolated between stated rows")), wrong);
  return follow(store, element, name, (field) => { ordered.checked = Boolean(field.ordered); });
}
