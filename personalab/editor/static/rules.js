// What holds for the blueprint as a whole: the rules that all its people obey, and what it says about itself.
//
// A rule is checked while it is typed and taken when the box is left. One that is refused stays in its box, with the
// sentence that says why, until it is put right or taken back with Escape.

const TYPING = 150; // ms without a key after which a rule is checked

/** The constraints: a row each, and one to add another. */
function rulesEditor(store) {
  const rows = new Map();
  const renamed = new Map(); // rows whose new name the kernel has not confirmed yet
  const list = h("ul.pl-rules", { "aria-label": "Rules" });
  const none = h("p.pl-soft", {}, "No rules yet. A rule is a comparison that everybody obeys, for example ", h("span.pl-mono", {}, "age >= tenure + 18"), ".");
  const section = h("section.pl-section", {}, h("h3", {}, "Rules"), none, list, newRule(store), fieldHints(store));
  store.on(section, ["constraints"], () => {
    const { constraints } = store.state;
    const wanted = constraints.map(({ name }) => rows.get(name) ?? renamed.get(name) ?? ruleRow(store, renamed));
    rows.clear();
    constraints.forEach((constraint, at) => {
      rows.set(constraint.name, wanted[at]);
      renamed.delete(constraint.name);
      wanted[at].fill(constraint);
    });
    none.hidden = constraints.length > 0;
    arrange(list, wanted);
  });
  return section;
}

function ruleRow(store, renamed) {
  const boxes = ruleBoxes(store, () => row.rule?.name);
  const broken = h("span.pl-broken");
  const remove = h("button.pl-quiet", { type: "button", onclick: () => store.send("remove_constraint", { name: row.rule.name }) }, icon("remove"));
  const row = h("li.pl-rule", {}, h("div.pl-rulebar", {}, boxes.name, boxes.text, broken, remove), boxes.wrong, boxes.note);
  const take = async () => {
    const [to_name, text] = boxes.values();
    if (boxes.isAs(row.rule) || String([to_name, text]) === row.refused) return;
    renamed.set(to_name, row);
    const { refused } = await store.send("change_constraint", { name: row.rule.name, to_name, text }, { key: `change_constraint:${row.rule.name}` });
    if (refused) renamed.delete(to_name);
    row.refused = refused ? String([to_name, text]) : null;
    boxes.answer(refused, String(boxes.values()) === String([to_name, text]) ? row.rule : null);
  };
  row.addEventListener("change", take);
  row.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || boxes.isAs(row.rule)) return;
    event.preventDefault();
    boxes.put(row.rule);
    boxes.answer(null);
  });
  return Object.assign(row, {
    fill(rule) {
      if (!row.rule || boxes.isAs(row.rule)) boxes.put(rule);
      row.rule = rule;
      boxes.named(rule.name);
      remove.setAttribute("aria-label", `Remove rule ${rule.name}`);
      remove.title = remove.getAttribute("aria-label");
      broken.textContent = rule.broken === null ? "" : breakers(rule.broken);
      broken.classList.toggle("pl-bad", rule.broken > 0);
    },
  });
}

const breakers = (n) => (n === 0 ? "all obey" : n === 1 ? "1 person breaks it" : `${n.toLocaleString("en")} people break it`);

/** A rule's two boxes and what is said of them; `known` tells the name under which the kernel knows it. */
function ruleBoxes(store, known) {
  const name = h("input.pl-rulename", { type: "text", autocomplete: "off", placeholder: "name" });
  const text = h("input.pl-ruletext.pl-mono", { type: "text", autocomplete: "off", placeholder: "age >= tenure + 18" });
  name.spellcheck = text.spellcheck = false;
  const wrong = complaint(text);
  const note = h("p.pl-checked", { role: "status", hidden: true });
  const boxes = {
    name, text, wrong, note,
    values: () => [name.value.trim(), text.value.trim()],
    isAs: (rule) => Boolean(rule) && name.value === rule.name && text.value === rule.text,
    put: (rule) => { name.value = rule.name; text.value = rule.text; },
    named: (rule) => { name.setAttribute("aria-label", `Name of rule ${rule}`); text.setAttribute("aria-label", `Rule ${rule}`); },
    answer: (refused, rule) => {
      wrong.say(refused ? sentenceOf(refused) : null);
      note.hidden = true;
      if (!refused && rule) boxes.put(rule);
    },
  };
  checkAsTyped(store, boxes, known);
  return boxes;
}

function checkAsTyped(store, { text, wrong, note }, known) {
  let timer = null;
  text.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(async () => {
      const asked = text.value.trim();
      if (!asked) { note.hidden = true; return wrong.say(null); }
      const { check, refused } = await store.send("check", { ...(known() ? { name: known() } : {}), text: asked }, { key: `check:${known() ?? ""}` });
      if (text.value.trim() !== asked || !(check || refused) || !text.contains(document.activeElement)) return;
      const ok = Boolean(check?.ok);
      wrong.say(ok ? null : `Not yet a rule: ${check?.message ?? sentenceOf(refused)}`);
      note.hidden = !ok;
      note.textContent = ok ? `Valid: ${check.message}` : "";
    }, TYPING);
  });
  text.addEventListener("change", () => clearTimeout(timer)); // what was taken needs no check
}

/** The row for a rule to come: taken with Enter, the button, or when the focus leaves it. */
function newRule(store) {
  const boxes = ruleBoxes(store, () => null);
  boxes.name.setAttribute("aria-label", "Name of a new rule");
  boxes.text.setAttribute("aria-label", "A new rule");
  const add = h("button", { type: "button", onclick: () => take() }, "Add rule");
  const row = h("div.pl-rule.pl-newrule", {}, h("div.pl-rulebar", {}, boxes.name, boxes.text, add), boxes.wrong, boxes.note);
  let refusedText = null;
  const take = async () => {
    const text = boxes.text.value.trim();
    if (!text) return boxes.wrong.say("A rule compares two sides, for example age >= 18.");
    const name = boxes.name.value.trim() || freeName(store);
    const { refused } = await store.send("add_constraint", { name, text }, { key: "add_constraint" });
    refusedText = refused ? text : null;
    boxes.answer(refused, { name: "", text: "" });
  };
  row.addEventListener("keydown", (event) => { if (event.key === "Enter" && event.target.matches("input") && !event.isComposing) take(); });
  row.addEventListener("focusout", (event) => {
    const text = boxes.text.value.trim();
    if (text && text !== refusedText && !row.contains(event.relatedTarget) && document.hasFocus()) take();
  });
  return row;
}

/** A name for a rule that was given none: the first free of rule_1, rule_2, … */
function freeName(store) {
  const taken = new Set(store.state.constraints.map(({ name }) => name));
  let at = 1;
  while (taken.has(`rule_${at}`)) at += 1;
  return `rule_${at}`;
}

/** The names that a rule can use; a click puts one where the caret was. */
function fieldHints(store) {
  const names = h("span.pl-hintnames");
  const line = h("div.pl-hints", { role: "group", "aria-label": "Put a field's name into the rule" }, h("span.pl-soft", {}, "Fields: "), names);
  let box = null;
  const watch = (event) => { if (event.target.matches?.(".pl-ruletext")) box = event.target; };
  queueMicrotask(() => line.parentElement?.addEventListener("focusin", watch));
  const insert = ({ currentTarget }) => {
    const into = box?.isConnected ? box : line.parentElement.querySelector(".pl-newrule .pl-ruletext");
    into.focus();
    into.setRangeText(currentTarget.textContent, into.selectionStart, into.selectionEnd, "end");
    into.dispatchEvent(new Event("input", { bubbles: true }));
  };
  const make = () => h("button.pl-quiet.pl-mono", { type: "button", onmousedown: (event) => event.preventDefault(), onclick: insert });
  store.on(line, ["names", "fields"], () => {
    const usable = store.state.names.filter((name) => store.field(name).kind !== "text");
    refill(names, usable, make, (button, name) => { button.textContent = name; });
    line.hidden = !usable.length;
  });
  return line;
}

/** What the blueprint says about itself. */
function aboutEditor(store) {
  const notes = h("ul.pl-notes");
  const noted = h("div", {}, h("h4", {}, "Notes"), notes);
  const section = h("section.pl-section.pl-about", {}, h("h3", {}, "About this blueprint"),
    aboutBox(store, "domain", "Domain", h("input", { type: "text", autocomplete: "off" })),
    aboutBox(store, "rationale", "Rationale", h("textarea", { rows: 5 })),
    aboutBox(store, "sources", "Sources, one a line", h("textarea", { rows: 4 })), noted);
  store.on(noted, ["notes"], () => {
    noted.hidden = !store.state.notes?.length;
    refill(notes, store.state.notes ?? [], () => h("li"), (item, note) => { item.textContent = note; });
  });
  return section;
}

/** A text of the blueprint in a box: taken when the box is left, or with Ctrl+Enter (in a box of one line, with Enter). */
function aboutBox(store, key, label, box) {
  const told = () => (Array.isArray(store.state[key]) ? store.state[key].join("\n") : store.state[key] ?? "");
  const wrong = complaint(box);
  let last = null;
  const take = async () => {
    if (box.value === last) return;
    const done = await attempt(store, wrong, "about", { key, text: box.value }, { key: `about:${key}` });
    if (done && !store.isPending(`about:${key}`)) box.value = last = told();
  };
  box.id = fresh("about");
  box.addEventListener("change", take);
  box.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
    event.preventDefault();
    box.dispatchEvent(new Event("change", { bubbles: true }));
  });
  store.on(box, [key], () => {
    if (last === null || box.value === last) box.value = told();
    last = told();
  });
  return h("div.pl-labelled", {}, h("label", { for: box.id }, label), box, wrong);
}
