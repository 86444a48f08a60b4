// Elements, numbers for people, and the few icons. Text reaches the page as text only, never as markup.

const SVG = "http://www.w3.org/2000/svg";

/** Make an element: h("button.pl-quiet", {onclick, "aria-label": "…"}, "text", child, …). */
function h(what, attributes = {}, ...children) {
  const [tag, ...classes] = what.split(".");
  const made = document.createElement(tag || "div");
  if (classes.length) made.className = classes.join(" ");
  return dressed(made, attributes, children);
}

/** The same in SVG. */
function svg(tag, attributes = {}, ...children) {
  return dressed(document.createElementNS(SVG, tag), attributes, children);
}

function dressed(made, attributes, children) {
  for (const [key, value] of Object.entries(attributes)) {
    if (value === null || value === undefined) continue;
    if (value === false) { if (made[key] === true) made[key] = false; continue; }
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (key in made && !key.includes("-") && made.namespaceURI !== SVG) made[key] = value;
    else made.setAttribute(key, value === true ? "" : String(value));
  }
  made.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return made;
}

/** Show what is in `list` inside `parent`, keeping the elements that are already there (and with them the focus). */
function arrange(parent, list) {
  const wanted = list.filter(Boolean);
  for (const child of [...parent.childNodes]) if (!wanted.includes(child)) child.remove();
  wanted.forEach((child, at) => {
    if (parent.childNodes[at] !== child) parent.insertBefore(child, parent.childNodes[at] ?? null);
  });
}

/** The same without moving the element that has the focus, which would lose it. */
function settle(parent, wanted) {
  const active = parent.getRootNode().activeElement;
  const kept = active && wanted.find((child) => child.contains(active));
  if (!kept || kept.parentNode !== parent) return arrange(parent, wanted);
  if (wanted.length === parent.childNodes.length && wanted.every((child, at) => parent.childNodes[at] === child)) return undefined;
  for (const child of [...parent.childNodes]) if (!wanted.includes(child)) child.remove();
  const at = wanted.indexOf(kept);
  for (const child of wanted.slice(0, at)) parent.insertBefore(child, kept);
  return parent.append(...wanted.slice(at + 1));
}

/** As many children as items, made once and filled anew: the focus stays. */
function refill(list, items, make, fill) {
  while (list.children.length > items.length) list.lastElementChild.remove();
  while (list.children.length < items.length) list.append(make());
  items.forEach((item, at) => fill(list.children[at], item, at));
}

/** Elements kept by key, so that a patch changes them instead of making them anew. */
function keyed(make) {
  const kept = new Map();
  return (keys) => {
    for (const key of kept.keys()) if (!keys.includes(key)) kept.delete(key);
    return keys.map((key) => kept.get(key) ?? (kept.set(key, make(key)), kept.get(key)));
  };
}

/** Shares as percentages with one decimal that add up to exactly 100.0 where the shares add up to 1. */
function percentages(shares) {
  const tenths = shares.map((share) => share * 1000);
  const total = Math.round(tenths.reduce((sum, each) => sum + each, 0));
  const down = tenths.map((each) => Math.floor(each + 1e-9));
  let left = total - down.reduce((sum, each) => sum + each, 0);
  const order = tenths.map((each, at) => [each - down[at], at]).sort((a, b) => b[0] - a[0] || a[1] - b[1]);
  for (const [, at] of order) if (left-- > 0) down[at] += 1;
  return down.map((each) => (each / 10).toFixed(1));
}

/** A number for people: as many digits as count, and no exponent. */
function told(value, digits = 4) {
  if (!Number.isFinite(value)) return "";
  if (value === 0) return "0";
  const places = Math.max(0, digits - 1 - Math.floor(Math.log10(Math.abs(value))));
  return value.toLocaleString("en", { maximumFractionDigits: Math.min(places, 12), useGrouping: Math.abs(value) >= 10000 });
}

/** A number as typed: "1,5" is no number, " 12 " is. Returns NaN for what is none. */
function typed(text) {
  return /^\s*[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?\s*$/i.test(text) ? Number(text) : NaN;
}

/** A text that keeps its direction to itself: one written from right to left would turn the numbers beside it round. */
const apart = (text) => (/[\u0590-\u08ff\u202a-\u202e\u2066-\u2068\ufb1d-\ufdff\ufe70-\ufefc]/.test(text) ? `\u2068${text}\u2069` : text);

/** A share with one decimal at most: "72.5 %". */
const percent = (share) => `${Number((share * 100).toFixed(1))} %`;

const sum = (numbers) => numbers.reduce((total, each) => total + each, 0);
const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

/** Names as a sentence lists them: "Gold", "Gold and Silver", "Gold, Silver and 4 more". */
function listed(names, most = 3) {
  if (names.length === 1) return names[0];
  if (names.length <= most) return `${names.slice(0, -1).join(", ")} and ${names.at(-1)}`;
  return `${names.slice(0, most - 1).join(", ")} and ${names.length - most + 1} more`;
}

const count = (n, noun) => `${n.toLocaleString("en")} ${noun}${n === 1 ? "" : "s"}`;

const PATHS = {
  undo: "M6 3 2 7l4 4M2 7h7a5 5 0 0 1 0 10H6",
  redo: "M12 3l4 4-4 4M16 7H9a5 5 0 0 0 0 10h3",
  add: "M9 3v12M3 9h12",
  remove: "M4 4l10 10M14 4 4 14",
  up: "M4 11l5-5 5 5",
  down: "M4 7l5 5 5-5",
  copy: "M6 6h9v9H6zM3 12V3h9",
  lock: "M4 8h10v7H4zM6 8V5a3 3 0 0 1 6 0v3",
  unlock: "M4 8h10v7H4zM6 8V5a3 3 0 0 1 5.6-1.5",
  dice: "M3 3h12v12H3zM6.5 6.5h.01M11.5 6.5h.01M9 9h.01M6.5 11.5h.01M11.5 11.5h.01",
};

/** An icon beside or instead of words; what it means is said by the button's name. */
function icon(name) {
  return svg("svg", { class: "pl-icon", viewBox: "0 0 18 18", width: 16, height: 16, "aria-hidden": "true" },
    svg("path", { d: PATHS[name], fill: "none", stroke: "currentColor", "stroke-width": 1.8, "stroke-linecap": "round", "stroke-linejoin": "round" }));
}

/** A refusal as a sentence: what, and what to do. */
const sentenceOf = ({ message, hint }) => [message, hint].filter(Boolean).join(" → ");

/** What the kernel has against a command; null where it has done it. */
const refusalOf = ({ refused }) => (refused ? sentenceOf(refused) : null);

let ids = 0;
const fresh = (prefix) => `pl-${prefix}-${++ids}`;

/** The place beside a control where what is wrong with its content stands; empty and hidden where nothing is. */
function complaint(control) {
  const place = h("p.pl-complaint", { id: fresh("wrong"), hidden: true });
  return Object.assign(place, {
    say(text) {
      place.textContent = text ?? "";
      place.hidden = !text;
      if (text) { control.setAttribute("aria-invalid", "true"); control.setAttribute("aria-describedby", place.id); }
      else { control.removeAttribute("aria-invalid"); control.removeAttribute("aria-describedby"); }
    },
  });
}
