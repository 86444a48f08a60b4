// Numbers: four promises about a number (min, max, mean, sd), a tick for whole numbers, and the density they make.
//
// Any change sends all five as they stand in the boxes, so that a range can be moved by its min and then its max: what
// is impossible on the way stays where it was typed, with the sentence that explains it, and is sent as soon as the
// five make sense together. What can be told here (no number, an sd wider than anything in the range) is told while
// typing; whatever else the kernel finds wrong is shown in the same place.

const PAUSE = 150; // ms after the last key press before what was typed is looked at
const PROMISES = ["min", "max", "mean", "sd"];

/** The editor of the numeric distribution that a field has at a row, or of its base where `row` is null. */
function numbersEditor(store, field, row) {
  return new NumberForm(store, field.name, row).element;
}

/** The range in which values can lie: of whole numbers, the outermost whole ones. */
const reach = ({ min, max, integer }) => (integer ? [Math.ceil(min), Math.floor(max)] : [min, max]);

/** The widest sd of anything within the range with this mean: half of it at one end, half at the other. */
function widest(numeric) {
  const [low, high] = reach(numeric);
  return Math.sqrt(Math.max(0, numeric.mean - low) * Math.max(0, high - numeric.mean));
}

/** Which box holds what cannot be, and why; null where a distribution can keep these promises. */
function impossible(numeric, touched) {
  const [low, high] = reach(numeric);
  const range = `${told(numeric.min)} to ${told(numeric.max)}`;
  if (numeric.min > numeric.max) return [touched === "max" ? "max" : "min", `the least, ${told(numeric.min)}, is above the greatest, ${told(numeric.max)}`];
  if (low > high) return ["max", `there is no whole number from ${range}`];
  if (numeric.mean < low || numeric.mean > high) return ["mean", `the mean ${told(numeric.mean)} lies outside ${told(low)} to ${told(high)}`];
  if (numeric.sd < 0) return ["sd", "an sd cannot be below 0"];
  if (numeric.sd > widest(numeric) * (1 + 1e-9)) return ["sd", `at most ${told(widest(numeric))}: nothing from ${range} with mean ${told(numeric.mean)} is wider`];
  const part = numeric.mean - Math.floor(numeric.mean);
  const least = numeric.integer ? Math.sqrt(part * (1 - part)) : 0;
  if (numeric.sd < least * (1 - 1e-9)) return ["sd", `at least ${told(least)}: whole numbers with mean ${told(numeric.mean)} are never closer together`];
  return null;
}

/** A step for sliders and arrow keys: 1, 2 or 5 of some power of ten, about a hundredth of the width. */
function stepFor(width) {
  if (!(width > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(width / 100));
  return power * [1, 2, 5, 10].find((each) => each * power >= (width / 100) * 0.99);
}

/** The multiple of `digit` nearest to a value that still lies between the ends. */
function within(value, [low, high], digit) {
  const at = clamp(Math.round(value / digit), Math.ceil(low / digit - AGREED), Math.floor(high / digit + AGREED));
  return clamp(at * digit, low, high);
}

/** A number as a box shows it: without the digits that only arithmetic left there. */
const plain = (value) => String(Number(value.toPrecision(12)));

/** Draw a distribution: its density over min..max, the mean as a tick, the sd as a band to both sides. */
function density(numeric, [width, height], [low, high] = [numeric.min, numeric.max]) {
  const x = (value) => (high > low ? clamp(((value - low) / (high - low)) * width, 0, width) : width / 2);
  const y = (share) => height - 1 - share * (height - 4);
  const points = numeric.curve.map((each, at) => `${x(numeric.min + ((numeric.max - numeric.min) * at) / (numeric.curve.length - 1)).toFixed(1)},${y(each).toFixed(1)}`);
  const mean = x(numeric.mean);
  const [left, right] = [x(Math.max(numeric.min, numeric.mean - numeric.sd)), x(Math.min(numeric.max, numeric.mean + numeric.sd))];
  const ends = [`${x(numeric.min).toFixed(1)},${height - 1}`, `${x(numeric.max).toFixed(1)},${height - 1}`];
  return svg("svg", { class: "pl-density", width, height, viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": inWords(numeric) },
    svg("rect", { class: "pl-band", x: left, y: 0, width: Math.max(1, right - left), height: height - 1 }),
    svg("polygon", { class: "pl-area", points: [ends[0], ...points, ends[1]].join(" ") }),
    svg("polyline", { class: "pl-outline", points: points.join(" ") }),
    svg("line", { class: "pl-ground", x1: 0, x2: width, y1: height - 0.5, y2: height - 0.5 }),
    svg("line", { class: "pl-mean", x1: mean, x2: mean, y1: 0, y2: height }));
}

/** A distribution in words: "mean 23, sd 4, from 12 to 34". */
const inWords = (numeric) => `mean ${told(numeric.mean)}, sd ${told(numeric.sd)}, from ${told(numeric.min)} to ${told(numeric.max)}`;

class NumberForm {
  constructor(store, name, row) {
    Object.assign(this, { store, name, when: row?.when ?? null });
    this.where = row ? `${name} where ${row.label}` : name;
    this.key = commandKey("set_numeric", name, this.when);
    this.gesture = gestures(store);
    this.typing = false; // the boxes hold what is being typed, not what holds
    this.touched = "min";
    this.timer = null;
    this.boxes = Object.fromEntries(PROMISES.map((key) => [key, this.box(key)]));
    this.sliders = { mean: this.slider("mean"), sd: this.slider("sd") };
    this.integer = h("input", { type: "checkbox", "aria-label": `${this.where}: whole numbers`, onchange: () => { this.typing = true; this.commit(); } });
    this.drawing = h("figure.pl-drawing");
    this.kept = h("p.pl-soft.pl-kept", { hidden: true });
    this.element = this.layout();
    store.on(this.element, ["fields"], () => this.take());
  }

  layout() {
    const line = (label, ...parts) => h("div.pl-numberline", {}, h("span.pl-value", {}, label), ...parts);
    const { min, max, mean, sd } = this.boxes;
    return h("div.pl-numbers", { role: "group", "aria-label": `${this.where}: numbers` },
      h("div.pl-numberlines", {},
        line("range", h("div.pl-range", {}, min, "to", max, h("label.pl-check", {}, this.integer, "whole numbers"))), min.wrong, max.wrong,
        line("mean", this.sliders.mean, mean), mean.wrong,
        line("sd", this.sliders.sd, sd), sd.wrong,
        this.kept),
      this.drawing);
  }

  box(key) {
    const made = this.gesture.watch(h("input.pl-box.pl-right", {
      type: "text", inputmode: "decimal", autocomplete: "off", "aria-label": `${this.where}: ${key}`,
      oninput: () => this.type(key), onblur: () => this.leave(), onkeydown: (event) => this.boxKey(event, key),
    }));
    return Object.assign(made, { wrong: complaint(made) });
  }

  slider(key) {
    const made = this.gesture.watch(h("input.pl-slider", {
      type: "range", step: "any", "aria-label": `${this.where}: slide the ${key}`,
      oninput: () => this.slide(key, Number(made.value)), onkeydown: (event) => this.sliderKey(event, key),
    }));
    return made;
  }

  numeric() { return distributionOf(this.store, this.name, this.when); }

  /** The five as they stand in the boxes; NaN where there is no number. What a box only shows shorter stays what it is. */
  read() {
    const held = this.numeric();
    const numbers = PROMISES.map((key) => [key, held && this.boxes[key].value === plain(held[key]) ? held[key] : typed(this.boxes[key].value)]);
    return { ...Object.fromEntries(numbers), integer: this.integer.checked };
  }

  /** Take what the kernel holds, unless something else is being typed. */
  take() {
    const numeric = this.numeric();
    if (!numeric || this.typing || this.store.isPending(this.key)) return;
    for (const key of PROMISES) this.fill(key, numeric[key]);
    this.integer.checked = numeric.integer;
    this.complain({});
    this.range(numeric);
    this.draw(numeric);
  }

  fill(key, value) {
    const box = this.boxes[key];
    const focused = box.getRootNode().activeElement === box;
    if (typed(box.value) !== value || !focused) box.value = plain(value);
  }

  /** Set the sliders to a distribution: the mean goes over the range, the sd up to the widest that there can be. */
  range(numeric) {
    const [low, high] = reach(numeric);
    this.place(this.sliders.mean, low, high, numeric.mean);
    this.place(this.sliders.sd, 0, widest(numeric), numeric.sd);
  }

  place(slider, min, max, value) {
    Object.assign(slider, { min, max });
    slider.value = value;
    slider.setAttribute("aria-valuetext", told(value));
  }

  draw(numeric) {
    const ends = h("figcaption.pl-ends", { "aria-hidden": "true" }, h("span", {}, told(numeric.min)), h("span", {}, told(numeric.max)));
    this.drawing.replaceChildren(density(numeric, [168, 60]), ends);
  }

  type(key) {
    this.typing = true;
    this.touched = key;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.commit(), PAUSE);
  }

  leave() { if (this.timer) this.commit(); else this.take(); }

  boxKey(event, key) {
    const steps = stepsOf(event, ["ArrowUp", "ArrowDown", "PageUp", "PageDown"]);
    if (event.key === "Enter") { this.typing = true; this.commit(); }
    else if (event.key === "Escape" && this.typing) {
      event.preventDefault();
      event.stopPropagation();
      this.restore();
    } else if (steps) { event.preventDefault(); this.step(key, steps); }
  }

  step(key, steps) {
    const numeric = this.read();
    if (Number.isNaN(numeric[key])) return;
    const step = stepFor(numeric.max - numeric.min);
    this.put(key, numeric[key] + steps * (numeric.integer && key !== "sd" && key !== "mean" ? Math.max(1, Math.round(step)) : step));
  }

  sliderKey(event, key) {
    const steps = stepsOf(event);
    if (!steps) return;
    event.preventDefault();
    const { min, max, value } = this.sliders[key];
    const now = typed(this.boxes[key].value);
    this.slide(key, clamp((Number.isNaN(now) ? Number(value) : now) + steps * stepFor(max - min), Number(min), Number(max)));
  }

  /** Slide to a value, rounded to a tenth of a step, and stopping where the other promises can no longer be kept. */
  slide(key, to) {
    const numeric = this.numeric();
    const digit = stepFor(this.sliders[key].max - this.sliders[key].min) / 10;
    this.put(key, within(to, key === "mean" ? this.means(numeric) : [0, widest({ ...numeric, ...this.read() })], digit));
  }

  /** The means that leave room for the sd: nearer to an end of the range nothing is spread so widely. */
  means(numeric) {
    const { min, max, sd, integer } = { ...numeric, ...this.read() };
    const [low, high] = reach({ min, max, integer });
    const room = Math.sqrt(Math.max(0, ((high - low) / 2) ** 2 - sd ** 2));
    return [(low + high) / 2 - room, (low + high) / 2 + room];
  }

  /** Put a number into a box as if it had been typed, and send it at once. */
  put(key, value) {
    if (Number.isNaN(value)) return;
    this.boxes[key].value = plain(value);
    this.typing = true;
    this.touched = key;
    this.commit();
  }

  restore() {
    clearTimeout(this.timer);
    this.timer = null;
    this.typing = false;
    this.take();
  }

  /** What is wrong with the boxes as they stand, by box; empty where nothing is. */
  faults(numeric) {
    const none = PROMISES.filter((key) => Number.isNaN(numeric[key]));
    const why = (key) => (this.boxes[key].value.includes(",") ? "write a point, not a comma: 1.5" : "type a number, such as 12.5");
    const together = impossible(numeric, this.touched); // of numbers that are there; NaN compares with nothing
    return Object.fromEntries([...(together ? [together] : []), ...none.map((key) => [key, why(key)])]);
  }

  commit() {
    clearTimeout(this.timer);
    this.timer = null;
    const numeric = this.read();
    const faults = this.faults(numeric);
    this.complain(faults);
    if (Object.keys(faults).length) return;
    const held = this.numeric();
    this.range(numeric);
    this.draw({ ...held, ...numeric });
    if (!this.store.isPending(this.key) && [...PROMISES, "integer"].every((key) => numeric[key] === held[key])) this.typing = false;
    else this.send(numeric);
  }

  async send(numeric) {
    const args = { field: this.name, when: this.when, ...numeric };
    const answer = await this.store.send("set_numeric", args, { key: this.key, gesture: this.gesture.now() });
    if (answer.replaced || this.timer || this.store.isPending(this.key)) return;
    if (answer.refused) { this.complain({ [this.touched]: sentenceOf(answer.refused) }); return; }
    if (Object.keys(this.faults(this.read())).length) return;
    this.typing = false;
    this.take();
  }

  /** Say what is wrong beside its box, and what holds meanwhile. */
  complain(faults) {
    for (const key of PROMISES) this.boxes[key].wrong.say(faults[key] ?? null);
    const numeric = this.numeric();
    const wrong = Object.keys(faults).length > 0;
    this.kept.hidden = !wrong;
    this.kept.textContent = wrong && numeric ? `Until then this holds: ${inWords(numeric)}. Escape goes back to it.` : "";
    this.drawing.classList.toggle("pl-stale", wrong);
  }
}
