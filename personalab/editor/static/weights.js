// Weights: a slider, a number and a lock for each value, and shares that always add up to 100.0 %.
//
// Moving one value renormalises the others that are not locked, in the proportions that they had when this control was
// picked up (the base of the gesture). So going out to 100 % and back gives every other value its share again, which
// renormalising from step to step would have lost. The base is kept until another control of the table is used, or
// until the weights change from elsewhere. Every change is shown at once and sent whole; the kernel's answer confirms
// it, or takes it back with a sentence.

const AGREED = 1e-9; // shares this close are the same ones, come back from the kernel

/** The editor of the weights that a field has at a row of its conditionals, or of its base where `row` is null. */
function weightsEditor(store, field, row, tools = null) {
  return new WeightTable(store, field.name, row, tools).element;
}

/** The weights once one of them is `to`: the others that are free share the rest as they share it in `base`. */
function renormalised(base, at, to, locked) {
  const others = base.map((_, i) => i).filter((i) => i !== at && !locked[i]);
  const rest = Math.max(0, 1 - sum(base.filter((_, i) => i !== at && locked[i])) - to);
  const total = sum(others.map((i) => base[i]));
  const next = base.map((weight, i) => (i === at ? to : weight));
  for (const i of others) next[i] = total > 1e-12 ? (base[i] / total) * rest : rest / others.length;
  return exact(next, rest > 0 && others.length ? others : [at]); // so that what was set is what was meant
}

/** The weights with what rounding left over or took put on the largest of the free ones. */
function exact(weights, free) {
  if (!free.length) return weights;
  const largest = free.reduce((best, i) => (weights[i] > weights[best] ? i : best));
  const fixed = [...weights];
  fixed[largest] = Math.max(0, fixed[largest] + 1 - sum(weights));
  return fixed;
}

/** Weights as shares of 1. */
function normal(weights) {
  const total = sum(weights);
  return total > 0 && Math.abs(total - 1) > 1e-12 ? weights.map((weight) => weight / total) : [...weights];
}

const LOCKS = new WeakMap();

/** The values locked in one table: kept while the page is open, also when another field is shown in between. */
function locksOf(store, key) {
  if (!LOCKS.has(store)) LOCKS.set(store, new Map());
  const kept = LOCKS.get(store);
  return kept.get(key) ?? kept.set(key, new Set()).get(key);
}

class WeightTable {
  constructor(store, name, row, tools) {
    Object.assign(this, { store, name, when: row?.when ?? null, tools });
    this.where = row ? `${name} where ${row.label}` : name;
    this.key = commandKey("set_weights", name, this.when);
    this.locks = locksOf(store, this.key);
    this.gesture = gestures(store);
    this.rows = [];
    this.weights = [];
    this.base = null; // {row, weights}: the control in use, and what the table held when it was picked up
    this.list = h("div.pl-weightlist", {}, this.head());
    this.element = h("div.pl-weights", { role: "group", "aria-label": `${this.where}: weights` }, this.list);
    store.on(this.element, ["fields"], () => this.take());
  }

  head() {
    const even = h("button.pl-even", {
      type: "button", onclick: () => this.even(), "aria-label": `${this.where}: even shares`, title: "Equal shares for all that are not locked",
    }, "Even");
    return (this.top = h("div.pl-weighthead", {}, h("span", {}, "value"), h("span", {}, "share"), h("span.pl-right", {}, "%"), even));
  }

  /** Take what the kernel holds, unless what is shown is newer. */
  take() {
    const held = distributionOf(this.store, this.name, this.when);
    if (!held) return;
    const { values } = this.store.field(this.name);
    const changed = this.fit(values);
    if (changed || !this.store.isPending(this.key)) this.accept(normal(held.weights));
    this.show();
  }

  /** A row a value, in the values' order; a row whose value was renamed stays. Returns whether there are other values. */
  fit(values) {
    const before = this.rows.map((row) => row.value);
    if (before.length === values.length && before.every((value, at) => value === values[at])) return false;
    this.renamed(before, values);
    this.rows = values.map((value) => this.rows.find((row) => row.value === value) ?? new WeightRow(this, value));
    settle(this.list, [this.top, ...this.rows.map((row) => row.element)]);
    for (const value of this.locks) if (!values.includes(value)) this.locks.delete(value);
    return true;
  }

  renamed(before, values) {
    const differ = before.map((_, at) => at).filter((at) => before[at] !== values[at]);
    if (before.length !== values.length || differ.length !== 1) return;
    const [from, to] = [before[differ[0]], values[differ[0]]];
    if (this.locks.delete(from)) this.locks.add(to);
    this.rows[differ[0]].call(to);
  }

  accept(weights) {
    const same = weights.length === this.weights.length && weights.every((each, at) => Math.abs(each - this.weights[at]) < AGREED);
    if (same) return;
    this.weights = weights;
    this.base = null;
    for (const row of this.rows) if (!row.typing) row.wrong.say(null);
  }

  show() {
    const shown = percentages(this.weights);
    this.rows.forEach((row, at) => row.show(this.weights[at], shown[at], this.locks.has(row.value)));
  }

  locked() { return this.rows.map((row) => this.locks.has(row.value)); }

  /** What a row can have at most: all that the others do not hold locked. */
  free(row) {
    return Math.max(0, 1 - sum(this.rows.map((other, at) => (other !== row && this.locks.has(other.value) ? this.weights[at] : 0))));
  }

  /** Why a row cannot have the share `to`; null where it can. */
  refusal(row, to) {
    const others = this.rows.filter((other) => other !== row);
    const held = others.filter((other) => this.locks.has(other.value)).map((other) => other.value);
    if (!others.length) return "the only value has all of it";
    if (held.length === others.length) return `${row.value} has what the others leave, and all of them are locked: unlock one first`;
    if (to <= this.free(row) + AGREED) return null;
    const locked = `${listed(held)} ${held.length === 1 ? "is" : "are"} locked at ${percent(1 - this.free(row))}`;
    return held.length ? `at most ${percent(this.free(row))}: ${locked}` : "at most 100 %";
  }

  /** Give a row a share, stopping at what is free; the sentence that says why nothing moved, or null. */
  move(row, to) {
    const reached = clamp(Math.round(to * 1e12) / 1e12, 0, this.free(row));
    const refused = this.refusal(row, reached);
    row.wrong.say(refused);
    if (!refused) this.set(row, Math.abs(this.free(row) - reached) < AGREED ? this.free(row) : reached);
    this.show();
  }

  set(row, to) {
    if (this.base?.row !== row) this.base = { row, weights: this.weights };
    this.change(renormalised(this.base.weights, this.rows.indexOf(row), to, this.locked()), row);
  }

  even() {
    const locked = this.locked();
    const open = this.rows.map((_, at) => at).filter((at) => !locked[at]);
    const rest = 1 - sum(this.weights.filter((_, at) => locked[at]));
    this.base = null;
    for (const row of this.rows) row.drop();
    this.change(exact(this.weights.map((weight, at) => (locked[at] ? weight : Math.max(0, rest) / open.length)), open), null);
  }

  change(weights, row) {
    if (weights.every((each, at) => each === this.weights[at])) return;
    this.weights = weights;
    this.show();
    this.send(row);
  }

  async send(row) {
    const weights = Object.fromEntries(this.rows.map((each, at) => [each.value, this.weights[at]]));
    const args = { field: this.name, when: this.when, weights };
    const answer = await this.store.send("set_weights", args, { key: this.key, gesture: this.gesture.now() });
    if (!answer.refused || this.store.isPending(this.key)) return;
    this.weights = [];
    this.take();
    (row ?? this.rows[0]).refuse(sentenceOf(answer.refused));
  }

  toggle(row) {
    if (!this.locks.delete(row.value)) this.locks.add(row.value);
    this.base = null;
    row.drop();
    this.show();
  }
}

class WeightRow {
  constructor(table, value) {
    Object.assign(this, { table, value });
    this.typing = false; // what stands in the box is not the share, but what is being typed
    this.slider = table.gesture.watch(h("input.pl-slider", {
      type: "range", min: 0, max: 100, step: 0.1, oninput: () => this.drag(), onkeydown: (event) => this.key(event, this.slider),
    }));
    this.box = table.gesture.watch(h("input.pl-box.pl-right", {
      type: "text", inputmode: "decimal", autocomplete: "off", oninput: () => this.type(),
      onblur: () => this.commit(), onkeydown: (event) => this.key(event, this.box),
    }));
    this.lock = h("button.pl-quiet.pl-tool", { type: "button", onclick: () => table.toggle(this) });
    this.wrong = complaint(this.box);
    this.label = h("span.pl-value");
    this.sent = null; // what was typed and sent, to be shown again if the kernel refuses it
    this.element = h("div.pl-weight", {}, this.label, this.slider, this.box, this.lock, table.tools?.(this) ?? [], this.wrong);
    this.call(value);
  }

  /** Name the row and its controls after its value. */
  call(value) {
    this.value = value;
    const { where } = this.table;
    Object.assign(this.label, { textContent: value, title: value });
    for (const [control, what] of [[this.slider, "weight of"], [this.box, "percent of"], [this.lock, "lock"]]) {
      control.setAttribute("aria-label", `${where}: ${what} ${value}`);
    }
    this.called?.(value);
  }

  show(weight, shown, locked) {
    this.slider.value = weight * 100;
    this.slider.setAttribute("aria-valuetext", `${shown} %`);
    if (!this.typing && this.box.value !== shown) this.box.value = shown;
    this.slider.disabled = this.box.disabled = locked;
    if (this.lock.getAttribute("aria-pressed") === String(locked)) return;
    this.lock.setAttribute("aria-pressed", String(locked));
    this.lock.title = locked ? "Locked: the share stays as it is" : "Lock this share";
    this.lock.replaceChildren(icon(locked ? "lock" : "unlock"));
  }

  drag() { this.drop(); this.table.move(this, Number(this.slider.value) / 100); }

  key(event, control) {
    const steps = stepsOf(event, control === this.box ? ["ArrowUp", "ArrowDown", "PageUp", "PageDown"] : undefined);
    if (steps) { event.preventDefault(); this.step(steps); }
    else if (control === this.box && event.key === "Enter") this.commit();
    else if (control === this.box && event.key === "Escape" && this.typing) {
      event.preventDefault();
      event.stopPropagation();
      this.drop();
      this.table.show();
    }
  }

  /** Go up or down from what is typed, where that is a share, else from the share. */
  step(steps) {
    const from = this.typing && !this.fault() ? this.share() : this.table.weights[this.table.rows.indexOf(this)];
    this.drop();
    this.table.move(this, from + steps / 100);
  }

  /** Leave what was typed for what holds. */
  drop() {
    this.typing = false;
    this.sent = null;
    this.wrong.say(null);
  }

  type() { this.typing = true; this.wrong.say(this.box.value.trim() ? this.fault() : null); }

  share() { return typed(this.box.value.replace(/%\s*$/, "")) / 100; }

  /** What is wrong with what stands in the box; null where it is a share that the row can have. */
  fault() {
    const share = this.share();
    if (Number.isNaN(share)) return this.box.value.includes(",") ? "write a point, not a comma: 1.5" : "type a number from 0 to 100";
    if (share < 0) return "a share cannot be below 0 %";
    if (share > 1) return "a share cannot be above 100 %";
    return this.table.refusal(this, share);
  }

  commit() {
    if (!this.typing) return;
    const fault = this.fault();
    this.wrong.say(fault);
    if (fault) return;
    const [share, text] = [this.share(), this.box.value];
    this.drop();
    this.sent = text;
    this.table.move(this, share);
  }

  /** Say why the kernel took the last change back, beside what was typed if it was typed. */
  refuse(message) {
    if (this.sent !== null) { this.typing = true; this.box.value = this.sent; }
    this.wrong.say(message);
  }
}
