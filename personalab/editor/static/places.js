// Where one is: the fields, the rules and the blueprint as a whole, and the editor of the one that is chosen.

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
