// Conditionals: what holds for a field where its parents have certain values, a row each.
//
// A row is *stated*, or it follows from what is: taken from a row with fewer conditions, on a line between two stated
// ones, or the field's base. All of them are shown, each with how it came to hold, because all of them are drawn from.
// Editing a row that follows states it. Hundreds of rows stay quick: few are drawn at a time, a row is drawn anew only
// when its own numbers changed, and the editor of a row is made when it is opened.

const PAGE = 60; // rows drawn at a time
const MANY = 12; // rows from which on there is a filter

/** All rows of a field that has parents, each opening the editor of its weights or numbers. */
function conditionalsTable(store, field) {
  return new RowTable(store, field.name).element;
}

/** The editor of what a row of a field, or its base, holds. */
function heldEditor(store, field, row, tools = null) {
  return field.kind === "numeric" ? numbersEditor(store, field, row) : weightsEditor(store, field, row, tools);
}

/** How a row came to hold, in a word or two. */
function originOf(row) {
  return { stated: "stated", inherited: `from ${row.from}`, interpolated: "interpolated", base: "from base" }[row.origin];
}

/** The three largest shares in words: "rotating 72 %, nights only 16 %, days only 12 %". */
function largest(values, weights, most = 3) {
  const order = values.map((_, at) => at).sort((a, b) => weights[b] - weights[a]);
  return order.slice(0, most).map((at) => `${apart(values[at])} ${percent(weights[at])}`).join(", ");
}

/** A small bar a value; `most` is the share that fills the height, one for all rows so that they compare. */
function bars(values, weights, most, [room, height] = [132, 22]) {
  const step = Math.min(room / values.length, 16);
  const width = Math.ceil(step * values.length);
  const heights = weights.map((weight) => Math.max(weight > 0 ? 1 : 0, (weight / most) * (height - 1)));
  return svg("svg", { class: "pl-bars", width, height, viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": largest(values, weights) },
    svg("line", { class: "pl-ground", x1: 0, x2: width, y1: height - 0.5, y2: height - 0.5 }),
    heights.map((tall, at) => svg("rect", {
      class: "pl-stick", x: at * step, y: height - tall, width: Math.max(1, step - (step > 4 ? 2 : 1)), height: tall,
    }, svg("title", {}, `${apart(values[at])} ${percent(weights[at])}`))));
}

/** Whether a text is an interval as conditions on numbers are written: "30..44", "65..", "..17" or one number. */
function isInterval(text) {
  const match = /^\s*([+-]?\d+(?:\.\d+)?)?\s*(\.\.)?\s*([+-]?\d+(?:\.\d+)?)?\s*$/.exec(text);
  if (!match || !(match[1] || match[3]) || (match[3] && !match[2])) return false;
  return !(match[1] && match[3]) || Number(match[1]) <= Number(match[3]);
}

const INTERVAL = "write 30..44, 65.., ..17 or one number";

class RowTable {
  constructor(store, name) {
    Object.assign(this, { store, name, opened: new Set(), shown: PAGE });
    this.parents = [];
    this.views = keyed((key) => new RowView(this, JSON.parse(key)));
    this.filter = h("input.pl-box", { type: "search", placeholder: "filter rows", "aria-label": `${name}: filter rows`, oninput: () => this.draw() });
    this.stated = h("input", { type: "checkbox", onchange: () => this.draw() });
    this.tally = h("span.pl-soft", { role: "status" });
    this.more = h("button", { type: "button", onclick: () => { this.shown += PAGE; this.draw(); } });
    this.table = h("table.pl-rows", { "aria-label": `${name}: rows` });
    this.finding = h("div.pl-finding", {}, this.filter, h("label.pl-check", {}, this.stated, "only stated"), this.tally);
    this.adding = h("div");
    this.element = h("div.pl-conditionals", {}, this.finding, h("div.pl-scroll", {}, this.table), this.more, this.adding);
    store.on(this.element, ["fields", "people", "population"], () => this.take());
  }

  take() {
    const field = this.store.field(this.name);
    if (!field) return;
    const people = this.store.state.people?.[this.name] ?? null;
    const parents = field.parents.map((parent) => [parent, this.store.field(parent)?.kind, this.store.field(parent)?.values]);
    const heads = JSON.stringify([parents, Boolean(people)]);
    const same = field === this.field && people === this.people && heads === this.heads;
    Object.assign(this, { field, people });
    if (heads !== this.heads) this.begin(heads);
    if (!same) this.draw();
  }

  /** Make the head and the form for a new row, which depend on the parents. */
  begin(heads) {
    this.heads = heads;
    this.views([]);
    const titles = [...this.field.parents, "holds", this.field.kind === "numeric" ? "distribution" : "shares"];
    this.head = h("thead", {}, h("tr", {},
      h("th", { scope: "col" }, h("span.pl-sr", {}, "open")), titles.map((title) => h("th", { scope: "col" }, title)),
      this.people && h("th.pl-right", { scope: "col" }, "people"), h("th", { scope: "col" }, h("span.pl-sr", {}, "state or remove"))));
    const open = this.field.parents.length > 1 || this.field.parents.some((name) => this.store.field(name)?.kind === "numeric");
    this.adding.replaceChildren(...(open ? [rowForm(this)] : []));
  }

  found() {
    const words = this.filter.value.trim().toLowerCase().split(/\s+/).filter(Boolean);
    const labels = (row) => `${row.label} ${originOf(row)}`.toLowerCase();
    return this.field.rows.filter((row) => (!this.stated.checked || row.origin === "stated") && words.every((word) => labels(row).includes(word)));
  }

  draw() {
    const found = this.found();
    const rows = found.slice(0, this.shown);
    this.scale = this.scaled();
    const views = this.views(rows.map((row) => JSON.stringify(row.when)));
    const lost = this.focused(views);
    settle(this.table, [this.head, ...views.map((view) => view.element)]);
    views.forEach((view, at) => view.show(rows[at], this.people?.[this.field.rows.indexOf(rows[at])]));
    (views[Math.min(lost, views.length - 1)]?.toggle ?? (lost >= 0 ? this.filter : null))?.focus();
    this.count(found.length, rows.length);
  }

  /** Where the row that has the focus stands if it is about to go; -1 where none is. */
  focused(views) {
    const bodies = [...this.table.tBodies];
    const at = bodies.findIndex((body) => body.contains(this.table.getRootNode().activeElement));
    return at >= 0 && !views.some((view) => view.element === bodies[at]) ? at : -1;
  }

  count(found, drawn) {
    const { rows, more } = this.field;
    const stated = rows.filter((row) => row.origin === "stated").length;
    this.finding.hidden = rows.length <= MANY && !this.filter.value && !this.stated.checked && !more;
    this.tally.textContent = `${found} of ${count(rows.length, "row")}, ${stated} stated${more ? `; ${more.toLocaleString("en")} more not listed` : ""}`;
    this.more.hidden = drawn >= found;
    this.more.textContent = `show more (${found - drawn})`;
  }

  /** What all rows share, so that they compare: the highest bar, or the range of the numbers. */
  scaled() {
    const { rows, kind } = this.field;
    if (kind !== "numeric") return Math.max(1e-9, ...rows.flatMap((row) => row.weights));
    return [Math.min(...rows.map((row) => row.min)), Math.max(...rows.map((row) => row.max))];
  }

  /** Send a command about a row; what the kernel says against it, or null. */
  async ask(op, args) {
    return refusalOf(await this.store.send(op, { field: this.name, ...args }));
  }
}

class RowView {
  constructor(table, when) {
    Object.assign(this, { table, when });
    const { field } = table;
    const row = field.rows.find((each) => JSON.stringify(each.when) === JSON.stringify(when));
    this.where = `${table.name} where ${row.label}`;
    this.toggle = h("button.pl-quiet.pl-tool", { type: "button", "aria-expanded": "false", "aria-label": `${this.where}: edit`, onclick: () => this.open(this.inner.hidden) }, icon("down"));
    this.act = h("button", { type: "button", onclick: () => this.change() });
    this.wrong = complaint(this.act);
    this.origin = h("td.pl-origin");
    this.told = h("td.pl-told");
    this.people = table.people && h("td.pl-right");
    this.cells = field.parents.map((parent) => this.cell(parent));
    const [across, faults] = [this.cells.length + (this.people ? 5 : 4), (this.intervals ?? []).map((given) => given.wrong)];
    this.room = h("td", { colSpan: across });
    this.inner = h("tr.pl-inner", { hidden: true }, this.room);
    this.element = h("tbody", {},
      h("tr", {}, h("td", {}, this.toggle), this.cells, this.origin, this.told, this.people, h("td.pl-act", {}, this.act)),
      h("tr.pl-said", {}, h("td", { colSpan: across }, this.wrong, faults)), this.inner);
    if (table.opened.has(JSON.stringify(when))) this.open(true);
  }

  /** A parent's value: as text, or for a number's interval in a stated row as a box. */
  cell(parent) {
    const value = tabled(this.when)[parent];
    if (value === undefined) return h("td.pl-soft", {}, "any");
    if (this.table.store.field(parent)?.kind !== "numeric") return h("td", {}, value);
    this.box = h("input.pl-box.pl-interval", { type: "text", autocomplete: "off", value, "aria-label": `${this.where}: ${parent}` });
    const wrong = complaint(this.box);
    const given = { box: this.box, wrong, parent, text: h("span.pl-plain", {}, value) };
    this.box.addEventListener("blur", () => this.rewrite(given));
    this.box.addEventListener("keydown", (event) => this.key(event, given));
    (this.intervals ??= []).push(given);
    return h("td", {}, given.text, given.box);
  }

  key(event, given) {
    if (event.key === "Enter") this.rewrite(given);
    else if (event.key === "Escape" && given.box.value !== this.when[given.parent]) {
      event.preventDefault();
      event.stopPropagation();
      given.box.value = this.when[given.parent];
      given.wrong.say(null);
    }
  }

  /** Send an interval as typed; the row moves to its new place, open if it was. */
  async rewrite({ box, wrong, parent }) {
    const text = box.value.trim();
    if (text === this.when[parent]) { wrong.say(null); return; }
    if (!isInterval(text)) { wrong.say(INTERVAL); return; }
    const { table } = this;
    const to = { ...this.when, [parent]: text };
    const key = JSON.stringify(to);
    const known = table.opened.has(key);
    if (!this.inner.hidden) table.opened.add(key);
    const refused = await table.ask("change_when", { when: this.when, to });
    if (refused && !known) table.opened.delete(key);
    wrong.say(refused);
  }

  show(row, people) {
    const seen = JSON.stringify([row, people, this.table.scale]);
    if (seen === this.seen) return;
    this.seen = seen;
    this.row = row;
    const stated = row.origin === "stated";
    this.element.className = `pl-${row.origin}`;
    this.origin.title = originOf(row);
    this.origin.replaceChildren(...originOf(row).split(/(?<==)/).flatMap((part, at) => (at ? [h("wbr"), part] : [part])));
    this.told.replaceChildren(...this.drawn(row));
    if (this.people) this.people.textContent = people === undefined ? "" : people.toLocaleString("en");
    for (const { box, text } of this.intervals ?? []) [box.hidden, text.hidden] = [!stated, stated];
    this.act.textContent = stated ? "Remove" : "State";
    this.act.title = stated ? "Let this row follow from the others" : "Keep what holds here as a row of its own";
    this.act.setAttribute("aria-label", `${this.where}: ${stated ? "remove" : "state"}`);
    if (this.hint) this.explain();
  }

  drawn(row) {
    const { values, kind } = this.table.field;
    const [picture, words] = kind === "numeric"
      ? [density(row, [100, 22], this.table.scale), `mean\u00a0${told(row.mean)}, sd\u00a0${told(row.sd)}`]
      : [bars(values, row.weights, this.table.scale), largest(values, row.weights, 1)];
    return [h("span.pl-spark", {}, picture, h("span.pl-top", {}, words))];
  }

  /** Say what editing does where the row is not stated. */
  explain() {
    const stated = this.row.origin === "stated";
    this.hint.hidden = stated;
    this.hint.textContent = stated ? "" : `Not stated here (${originOf(this.row)}): editing states it.`;
  }

  open(open) {
    const key = JSON.stringify(this.when);
    if (open) this.table.opened.add(key); else this.table.opened.delete(key);
    this.inner.hidden = !open;
    this.toggle.setAttribute("aria-expanded", String(open));
    if (!open || this.hint) return;
    const { store, field } = this.table;
    const row = distributionOf(store, field.name, this.when);
    this.row ??= row;
    this.hint = h("p.pl-soft");
    this.room.append(h("div.pl-opened", {}, this.hint, heldEditor(store, field, row)));
    this.explain();
  }

  async change() {
    const stated = this.row.origin === "stated";
    this.wrong.say(await this.table.ask(stated ? "remove_row" : "add_row", { when: this.when }));
  }
}

/** A form for a row at other parent values: an interval for a number, a value or any for the rest. */
function rowForm(table) {
  const { store, name, field } = table;
  const controls = field.parents.map((parent) => [parent, conditionControl(store, name, parent)]);
  const first = controls[0][1];
  const add = h("button", { type: "submit" }, icon("add"), "row");
  const wrong = complaint(first);
  const submit = async (event) => {
    event.preventDefault();
    const given = controls.map(([parent, control]) => [parent, control.value.trim()]).filter(([, text]) => text);
    const bad = given.find(([parent, text]) => store.field(parent).kind === "numeric" && !isInterval(text));
    if (bad || !given.length) { wrong.say(bad ? `${bad[1]} is no interval: ${INTERVAL}` : "say for which values the row holds"); return; }
    const when = Object.fromEntries(given);
    table.opened.add(JSON.stringify(when));
    wrong.say(await table.ask("add_row", { when }));
    if (!wrong.textContent) for (const [, control] of controls) control.value = "";
    else table.opened.delete(JSON.stringify(when));
  };
  const label = ([parent, control]) => h("label.pl-named", {}, h("span", {}, parent), control);
  return h("form.pl-rowform", { onsubmit: submit, "aria-label": `${name}: new row` }, h("span.pl-soft", {}, "where"), controls.map(label), add, wrong);
}

function conditionControl(store, name, parent) {
  const field = store.field(parent);
  const attributes = { "aria-label": `${name}: new row's ${parent}` };
  if (field?.kind === "numeric") return h("input.pl-box.pl-interval", { type: "text", placeholder: "30..44", autocomplete: "off", ...attributes });
  return h("select.pl-box", attributes, h("option", { value: "" }, "any"), (field?.values ?? []).map((value) => h("option", { value }, value)));
}
