// What the page knows: the state that the kernel sent, and the commands that it has not answered yet.
//
// The kernel decides. A control shows at once what was typed or dragged and sends a command; while one command is
// under way, later ones wait, and of several with the same `key` only the last is sent, so that a burst of key presses
// is neither lost nor queued up. The answer is a patch of the state, or a refusal for the control to show.

const SILENCE = 4000; // ms without an answer after which the page says so
const BY_NAME = ["fields", "people", "panels"]; // keys of the state that hold a part a field
const [RULES, ABOUT] = ["", " "]; // what is chosen where it is no field: a field's name can be read

/** A table of which every name can be a key, "constructor" and "__proto__" too. */
const tabled = (part) => (part ? Object.assign(Object.create(null), part) : part);

class Store {
  constructor(model) {
    this.model = model;
    this.state = structuredClone(model.get("state"));
    for (const key of BY_NAME) this.state[key] = tabled(this.state[key]);
    this.selected = this.state.names?.[0] ?? null; // a field's name, RULES or ABOUT
    this.silent = false; // the kernel is late with an answer
    this.gone = false; // the kernel will not answer any more
    this.refusal = null; // the last answer that was no
    this.listeners = new Set();
    this.waiting = []; // commands not yet sent
    this.underway = null;
    this.last = 0;
    this.gestures = 0;
    model.on("msg:custom", (message) => this.receive(message));
    for (const event of ["comm:close", "comm_live_update"]) model.on(event, () => this.part());
  }

  /** Call `then` now and whenever one of `keys` of the state changes, for as long as `element` is in use. */
  on(element, keys, then) {
    const listener = { element, keys, then, seen: false };
    this.listeners.add(listener);
    then();
  }

  /** Tell those who show one of `keys`. What one of them gets wrong must not keep the others, or the queue, waiting. */
  changed(...keys) {
    for (const listener of [...this.listeners]) {
      if (isUsed(listener.element)) listener.seen = true;
      else if (listener.seen) { this.listeners.delete(listener); continue; }
      if (!listener.keys.some((key) => keys.includes(key))) continue;
      try { listener.then(); } catch (error) { reportError(error); }
    }
  }

  /** Tell nobody inside `element` any more. */
  forget(element) {
    for (const listener of [...this.listeners]) if (element.contains(listener.element)) this.listeners.delete(listener);
  }

  field(name) { return this.state.fields[name]; }

  select(name) { this.selected = name; this.changed("selected"); }

  /** A new gesture: commands that carry its number are one step to undo. */
  gesture() { return ++this.gestures; }

  /** Send a command; resolves to the kernel's answer. A later command of the same `key` replaces one that waits. */
  send(op, args = {}, { key = null, gesture = null } = {}) {
    return new Promise((resolve) => {
      const command = { id: ++this.last, op, ...args, ...(gesture === null ? {} : { gesture }) };
      const same = key === null ? -1 : this.waiting.findIndex((each) => each.key === key);
      if (same >= 0) this.waiting.splice(same, 1)[0].resolve({ replaced: true });
      this.waiting.push({ command, key, resolve });
      this.next();
    });
  }

  /** Whether a command with this key waits or is under way, so that what is shown is newer than the state. */
  isPending(key) {
    return this.underway?.key === key || this.waiting.some((each) => each.key === key);
  }

  next() {
    if (this.underway || !this.waiting.length) return;
    this.underway = this.waiting.shift();
    try { this.model.send(this.underway.command); } catch { return this.part(); }
    const { id } = this.underway.command;
    setTimeout(() => { if (this.underway?.command.id === id) { this.silent = true; this.changed("silent"); } }, SILENCE);
  }

  /** The kernel has died or was started anew: nothing typed from now on is kept. */
  part() { this.gone = true; this.changed("silent"); }

  receive(message) {
    if (this.silent) { this.silent = false; this.changed("silent"); }
    const answered = message.ack !== undefined && this.underway?.command.id === message.ack ? this.underway : null;
    if (answered) this.underway = null;
    if (message.patch) this.apply(message.patch);
    if (message.refused) { this.refusal = message.refused; this.changed("refusal"); }
    if (answered) { answered.resolve(message); this.next(); }
  }

  /** Lay a patch over the state: `fields`, `people` and `panels` by name, every other key whole. */
  apply(patch) {
    const { fields, people, panels, ...rest } = patch;
    Object.assign(this.state, rest);
    for (const [key, part] of Object.entries({ fields, people, panels })) {
      if (part === undefined) continue;
      if (part === null || this.state[key] === null) this.state[key] = tabled(part);
      else Object.assign(this.state[key], part);
    }
    const names = new Set(this.state.names);
    for (const key of BY_NAME) {
      for (const [name, part] of Object.entries(this.state[key] ?? {})) {
        if (part === null || !names.has(name)) delete this.state[key][name]; // gone, with its field or without it
      }
    }
    if (![...this.state.names, RULES, ABOUT].includes(this.selected)) {
      this.selected = patch.select ?? this.state.names[0] ?? ABOUT;
      this.changed("selected", ...Object.keys(patch));
    } else if (patch.select && patch.select !== this.selected) {
      this.selected = patch.select;
      this.changed("selected", ...Object.keys(patch));
    } else this.changed(...Object.keys(patch));
  }
}

/** Whether an element belongs to an editor. One that scrolls out of sight may be off the page for a while, as a whole. */
const isUsed = (element) => element.isConnected || element.closest(".personalab-editor") !== null;

const stores = new WeakMap();

/** The one store of a model, whatever number of views show it: each sees the model through a proxy of its own, so its layout stands for it. */
function storeOf(model) {
  const layout = model.get("layout");
  const key = layout !== null && typeof layout === "object" ? layout : model;
  if (!stores.has(key)) stores.set(key, new Store(model));
  return stores.get(key);
}
