// The live chart: one panel a field, drawn as SVG from a few aggregated numbers and patched in place.
//
// A panel asks one question: is a share off by more than chance? So a value is a line with a grey band, where 95 % of
// independent draws of as many people fall, a tick at the requested share and a dot at the achieved one, which becomes a
// diamond of another colour outside the band. Places along the axis are percentages of the drawing's width, so that
// nothing is measured, and nothing drawn anew when the notebook is resized.

const LINE = 17; // px a value
const COLUMN = 18; // values below each other; more go into an even number of columns, so that they fill a narrow panel too
const HEIGHT = 84; // px of a histogram
const SCALE = 20; // px below the marks, for the axis
const DOT = "M-4 0a4 4 0 1 0 8 0a4 4 0 1 0-8 0Z";
const DIAMOND = "M0-6 6 0 0 6-6 0Z";

/** The chart of every field's fidelity; after it is redrawn the editor's root says for which revision. */
function fidelityView(store) {
  const panels = h("div.pl-facets");
  const legend = fidelityLegend();
  const caption = h("p.pl-caption");
  const view = h("section.pl-fidelity", { "aria-label": "requested and achieved" }, legend.element, panels, caption);
  const panelOf = keyed((key) => (key.startsWith("shares:") ? sharesPanel() : numbersPanel()));
  const drawn = () => view.closest(".personalab-editor")?.setAttribute("data-drawn", store.state.rev);
  const draw = () => {
    const shown = selectedFirst(store);
    view.hidden = !shown.length;
    const drawings = panelOf(shown.map((panel) => `${panel.kind}:${panel.field}`));
    drawings.forEach((drawing, at) => drawing.show(shown[at], store.state.population?.n ?? 0, isWhole(store.field(shown[at].field))));
    drawings.forEach((drawing, at) => markSelected(drawing.element, shown[at].field === store.selected));
    arrange(panels, drawings.map((drawing) => drawing.element));
    legend.show(new Set(shown.map((panel) => panel.kind)));
    lettered(caption, store.state.population?.caption ?? "");
    drawn();
  };
  store.on(view, ["rev", "names", "panels", "population", "selected"], draw);
  whenShown(view, drawn);
  return view;
}

/** One field's panel alone, to stand beside its editor; nothing where there is no population. */
function ownFidelity(store, name) {
  const view = h("div.pl-own");
  const panelOf = keyed((kind) => (kind === "shares" ? sharesPanel() : numbersPanel()));
  store.on(view, ["panels", "population", "fields"], () => {
    const panel = store.state.panels?.[name];
    const drawings = panelOf(panel ? [panel.kind] : []);
    for (const drawing of drawings) drawing.show(panel, store.state.population?.n ?? 0, isWhole(store.field(name)));
    arrange(view, drawings.map((drawing) => drawing.element));
  });
  return view;
}

/** The panels in the blueprint's order, but for the field being edited, which comes first. */
function selectedFirst(store) {
  const { names, panels } = store.state;
  const order = names.filter((name) => panels?.[name]);
  return [...order.filter((name) => name === store.selected), ...order.filter((name) => name !== store.selected)].map((name) => panels[name]);
}

/** Whether a numeric field has whole numbers only. */
const isWhole = (field) => Boolean((field?.base ?? field?.rows?.[0])?.integer);

function markSelected(element, isSelected) {
  if (element.classList.contains("pl-selected") !== isSelected) element.classList.toggle("pl-selected", isSelected);
}

/** Call `then` once, as soon as the element has a place on the page. */
function whenShown(element, then) {
  const observer = new ResizeObserver(() => { if (element.isConnected) { observer.disconnect(); then(); } });
  observer.observe(element);
}

/** Set the attributes that differ; null takes one away. */
function patched(element, attributes) {
  for (const [key, value] of Object.entries(attributes)) {
    if (value === null) element.removeAttribute(key);
    else if (element.getAttribute(key) !== String(value)) element.setAttribute(key, value);
  }
  return element;
}

/** Set the text where it differs. */
function lettered(element, text) {
  if (element.textContent !== text) element.textContent = text;
  return element;
}

const inPercent = (share, digits = 3) => `${told(100 * share, digits)} %`;
const along = (share) => `${Number((100 * share).toFixed(3))}%`;

/** A step of 1, 2, 2.5 or 5 times a power of ten that cuts `span` into at most `most` parts. */
function roundStep(span, most) {
  const power = 10 ** Math.floor(Math.log10(span / most));
  return power * [1, 2, 2.5, 5, 10].find((each) => span / (power * each) <= most * (1 + 1e-9));
}

/** The end of an axis that holds `most`; the one at hand stays while it serves, so that marks do not jump about. */
function axisEnd(most, before) {
  if (before && most <= before * (1 + 1e-9) && most > before / 2) return before;
  const step = roundStep(most || 1, 4);
  return Math.min(Math.ceil((most || 1) / step - 1e-9) * step, Math.max(1, most));
}

/** The round numbers of an axis from `low` to `high`. */
function axisTicks(low, high, most = 4) {
  const step = roundStep(high - low || 1, most);
  const ticks = [];
  for (let at = Math.ceil(low / step - 1e-9); at * step <= high + step * 1e-9; at += 1) ticks.push(at * step);
  return ticks;
}

/** An axis's lines and numbers; `show` draws them anew only where the axis has changed. */
function axisOf(height) {
  const element = svg("g", { class: "pl-axis" });
  let before = "";
  const show = (ticks, place, text) => {
    const labels = ticks.map((tick) => [along(place(tick)), text(tick)]);
    if (before === (before = JSON.stringify(labels))) return;
    element.replaceChildren(...labels.flatMap(([x, label]) => [
      svg("line", { x1: x, x2: x, y1: 0, y2: height }),
      svg("text", { x, y: height + 14, "text-anchor": "middle" }, label),
    ]));
  };
  return { element, show };
}

/** A tick where it was requested, and a dot where it came to be. */
function tickAndDot() {
  const tick = svg("svg", { class: "pl-at" }, svg("rect", { class: "pl-requested", x: -1, y: -7, width: 2, height: 14 }));
  const shape = svg("path", { class: "pl-achieved", d: DOT });
  const dot = svg("svg", { class: "pl-at" }, shape);
  const show = (requested, achieved, isOutside = false) => {
    patched(tick, { x: along(requested) });
    patched(dot, { x: along(achieved) });
    patched(shape, isOutside ? { d: DIAMOND, class: "pl-achieved pl-beyond" } : { d: DOT, class: "pl-achieved" });
  };
  return { elements: [tick, dot], show };
}

/** What all panels have: a name, a line of numbers, a drawing that says what it shows, and the same as a table. */
function panelFrame(plot, columns) {
  const name = h("h4.pl-facet-name");
  const numbers = h("p.pl-facet-numbers");
  const data = dataTable(columns);
  plot.setAttribute("role", "img");
  const element = h("article.pl-facet", {}, h("header", {}, name, numbers), plot, data.element);
  const show = ({ field, title }, line, words, rows) => {
    lettered(name, title || field);
    lettered(numbers, line);
    patched(plot, { "aria-label": words });
    patched(element, { "data-field": field });
    data.show(field, rows);
  };
  return { element, show };
}

/** Numbers to be read one by one, made when they are first asked for. */
function dataTable(columns) {
  const summary = h("summary", {}, "as a table");
  const body = h("tbody");
  const caption = h("caption.pl-sr");
  const head = h("thead", {}, h("tr", {}, ...columns.map((column) => h("th", { scope: "col" }, column))));
  const scroller = h("div.pl-scroller", { tabIndex: 0, role: "region" }, h("table.pl-data", {}, caption, head, body));
  const element = h("details.pl-details", { ontoggle: () => fill() }, summary, scroller);
  let rows = () => [];
  const fill = () => { if (element.open) fillRows(body, rows()); };
  const show = (field, made) => {
    patched(summary, { "aria-label": `${field} as a table` });
    patched(scroller, { "aria-label": `${field}: requested and achieved` });
    lettered(caption, `${field}: requested and achieved`);
    rows = made;
    fill();
  };
  return { element, show };
}

/** Fill a table's body, its first column naming the rows; cells that are there are kept. */
function fillRows(body, rows) {
  while (body.rows.length > rows.length) body.deleteRow(-1);
  rows.forEach((texts, at) => {
    const row = body.rows[at] ?? body.appendChild(h("tr", {}, ...texts.map((_, column) => (column ? h("td") : h("th", { scope: "row" })))));
    texts.forEach((text, column) => lettered(row.cells[column], text));
  });
}

/** A categorical field's panel: a line a value. */
function sharesPanel() {
  const plot = h("div.pl-plot");
  const frame = panelFrame(plot, ["value", "requested", "achieved", "band"]);
  let before = null;
  let lines = [];
  let columns = [];
  let listed = null;
  let end = 0;
  const lay = (values) => {
    columns = inColumns(values).map(shareColumn);
    lines = columns.flatMap((column) => column.lines);
    plot.replaceChildren(...columns.map((column) => column.element));
    frame.element.classList.toggle("pl-wide", columns.length > 1);
  };
  const show = (panel, n) => {
    if (panel === before?.panel && n === before.n) return;
    before = { panel, n };
    const values = JSON.stringify(panel.cells.map(([value]) => value));
    if (values !== listed) { listed = values; lay(panel.cells.map(([value]) => value)); }
    end = axisEnd(Math.max(...panel.cells.flatMap(([, ...shares]) => shares), 0), end);
    for (const { axis } of columns) axis.show(axisTicks(0, end), (share) => share / end, (share) => inPercent(share));
    panel.cells.forEach((cell, at) => lines[at].show(cell, end, n));
    frame.show(panel, distanceLine(panel) + under(panel), sharesTold(panel), () => panel.cells.map(shareRow));
  };
  return { element: frame.element, show };
}

/** Values cut into pieces that stand beside each other. */
function inColumns(values) {
  const pieces = values.length <= COLUMN ? 1 : 2 * Math.ceil(values.length / (2 * COLUMN));
  const size = Math.ceil(values.length / pieces);
  return Array.from({ length: pieces }, (_, at) => values.slice(at * size, (at + 1) * size)).filter((piece) => piece.length);
}

/** Some of a field's values below each other, over an axis of their own. */
function shareColumn(values) {
  const height = values.length * LINE;
  const axis = axisOf(height);
  const lines = values.map((value, at) => shareLine(value, at));
  const labels = h("div.pl-labels", {}, ...lines.map((line) => line.label));
  const drawing = svg("svg", { class: "pl-chart", width: "100%", height: height + SCALE }, axis.element, ...lines.map((line) => line.element));
  return { element: h("div.pl-share-column", {}, labels, drawing), axis, lines };
}

/** One value: its name, its band, its tick and its dot. */
function shareLine(value, at) {
  const label = h("span", {}, value);
  const title = svg("title");
  const band = svg("rect", { class: "pl-honest", y: 3, height: LINE - 6 });
  const marks = tickAndDot();
  const place = svg("svg", { class: "pl-at", y: LINE / 2 }, ...marks.elements);
  const hit = svg("rect", { class: "pl-hit", width: "100%", height: LINE });
  const element = svg("svg", { class: "pl-share", y: at * LINE, height: LINE, "data-value": value }, title, hit, band, place);
  const show = (cell, end, n) => {
    const [, requested, achieved, low, high] = cell;
    lettered(title, shareTold(cell, n));
    patched(label, { title: shareTold(cell, n) });
    patched(band, { x: along(low / end), width: along((high - low) / end) });
    marks.show(requested / end, achieved / end, isOutside(cell));
  };
  return { label, element, show };
}

const isOutside = ([, , achieved, low, high]) => achieved < low - 1e-9 || achieved > high + 1e-9;
const bandTold = ([, , , low, high]) => `${told(100 * low, 3)}–${inPercent(high)}`;

/** "Gold: requested 20 %, achieved 20.1 % (201 of 1,000), band 17.6–22.5 %". */
function shareTold(cell, n) {
  const [value, requested, achieved] = cell;
  const people = n ? ` (${Math.round(achieved * n).toLocaleString("en")} of ${n.toLocaleString("en")})` : "";
  const where = isOutside(cell) ? ", outside the band " : ", band ";
  return `${apart(value)}: requested ${inPercent(requested)}, achieved ${inPercent(achieved)}${people}${where}${bandTold(cell)}`;
}

const shareRow = (cell) => [cell[0], inPercent(cell[1]), inPercent(cell[2]), bandTold(cell) + (isOutside(cell) ? ", outside" : "")];

/** "TVD 0.08 (at best 0.08, 0.26 by chance)". */
function distanceLine({ tvd, limit, expected }) {
  const beside = [[limit, "at best #"], [expected, "# by chance"]]
    .filter(([distance]) => Number.isFinite(distance))
    .map(([distance, text]) => text.replace("#", told(distance, 2)));
  return `TVD ${told(tvd, 2)}${beside.length ? ` (${beside.join(", ")})` : ""}`;
}

/** A panel in words: the distance, how many values are outside, and the one that is furthest off. */
function sharesTold(panel) {
  const outside = panel.cells.filter(isOutside).length;
  const [value, requested, achieved] = panel.cells.reduce((worst, cell) => (Math.abs(cell[2] - cell[1]) > Math.abs(worst[2] - worst[1]) ? cell : worst));
  return `${panel.title || panel.field}: ${distanceLine(panel)}; ${outside} of ${panel.cells.length} values outside the band; `
    + (Math.abs(achieved - requested) < 1e-9 ? "every share as requested" : `furthest off ${value}, requested ${inPercent(requested)}, achieved ${inPercent(achieved)}`);
}

/** A numeric field's panel: the requested spread as an area, the achieved one as bars, and the two means. */
function numbersPanel() {
  const bars = svg("g");
  const area = svg("path", { class: "pl-spread", "vector-effect": "non-scaling-stroke" });
  const means = tickAndDot();
  const axis = axisOf(HEIGHT + LINE);
  const drawing = svg("svg", { class: "pl-chart", width: "100%", height: HEIGHT + LINE + SCALE },
    axis.element,
    svg("svg", { viewBox: "0 0 100 100", preserveAspectRatio: "none", width: "100%", height: HEIGHT }, area),
    bars,
    svg("svg", { class: "pl-at", y: HEIGHT + LINE / 2 }, ...means.elements));
  const frame = panelFrame(h("div.pl-plot.pl-histogram", {}, drawing), ["from", "to", "requested", "achieved"]);
  const barAt = keyed(() => histogramBar());
  let before = null;
  let top = 0;
  const show = (panel, n, isWhole) => {
    if (panel === before) return;
    before = panel;
    const place = placing(panel);
    top = axisEnd(Math.max(...panel.bins.flatMap(([, , requested, achieved]) => [requested, achieved]), 0), top);
    axis.show(axisTicks(panel.min, panel.max), place, (value) => told(value, 4));
    patched(area, { d: outline(panel.bins, place, top) });
    const shown = barAt(panel.bins.map((_, at) => at));
    shown.forEach((bar, at) => bar.show(panel.bins[at], place, top, isWhole));
    arrange(bars, shown.map((bar) => bar.element));
    means.show(place(panel.requested.mean), place(panel.achieved.mean));
    frame.show(panel, momentsLine(panel) + under(panel), numbersTold(panel), () => panel.bins.map((bin) => [...binEnds(bin, isWhole).map((end) => told(end)), inPercent(bin[2]), inPercent(bin[3])]));
  };
  return { element: frame.element, show };
}

/** Where a number stands between the ends of the axis, from 0 to 1. */
function placing({ min, max, bins }) {
  const low = Math.min(min, ...bins.map(([x0]) => x0));
  const high = Math.max(max, ...bins.map(([, x1]) => x1));
  return (value) => (high > low ? (value - low) / (high - low) : 0.5);
}

/** The requested shares as steps over the bars that they are compared with. */
function outline(bins, place, top) {
  const y = (share) => Number((100 * (1 - share / top)).toFixed(2));
  const x = (value) => Number((100 * place(value)).toFixed(2));
  if (!bins.length) return "";
  const steps = bins.map(([x0, x1, share]) => `L${x(x0)} ${y(share)}H${x(x1)}`);
  return `M${x(bins[0][0])} 100${steps.join("")}V100Z`;
}

function histogramBar() {
  const title = svg("title");
  const hit = svg("rect", { class: "pl-hit", y: 0, height: HEIGHT });
  const bar = svg("rect", { class: "pl-column" });
  const show = (bin, place, top, isWhole) => {
    const [x0, x1, requested, achieved] = bin;
    const width = place(x1) - place(x0);
    const height = (HEIGHT * achieved) / top;
    lettered(title, `${binTold(bin, isWhole)}: requested ${inPercent(requested)}, achieved ${inPercent(achieved)}`);
    patched(hit, { x: along(place(x0)), width: along(width) });
    patched(bar, { x: along(place(x0) + width / 4), width: along(width / 2), y: (HEIGHT - height).toFixed(2), height: height.toFixed(2) });
  };
  return { element: svg("g", {}, title, hit, bar), show };
}

/** A bin's ends as numbers that are in it: bins of whole numbers begin and end halfway between two. */
const binEnds = ([x0, x1], isWhole) => (isWhole ? [Math.ceil(x0), Math.floor(x1)] : [x0, x1]);
const binTold = (bin, isWhole) => [...new Set(binEnds(bin, isWhole).map((end) => told(end)))].join(" to ");

/** The rules that a field is under: where one binds, it comes before the shares and moments that are requested. */
const under = ({ rules = [] }) => (rules.length ? ` · under ${rules.length === 1 ? "rule" : "rules"} ${listed(rules)}` : "");

/** "mean 23.1 → 23, sd 4 → 4.1". */
function momentsLine({ requested, achieved }) {
  return ["mean", "sd"].map((name) => `${name} ${told(requested[name], 3)} → ${told(achieved[name], 3)}`).join(", ");
}

function numbersTold({ field, min, max, requested, achieved }) {
  return `${field}: mean requested ${told(requested.mean, 3)}, achieved ${told(achieved.mean, 3)}; `
    + `standard deviation requested ${told(requested.sd, 3)}, achieved ${told(achieved.sd, 3)}; `
    + `from ${told(min)} to ${told(max)}, achieved from ${told(achieved.min)} to ${told(achieved.max)}`;
}

/** What the marks mean, said once: a sign and a word each, for the kinds of panels that are there. */
function fidelityLegend() {
  const sign = (...marks) => svg("svg", { width: 22, height: 14, "aria-hidden": "true" }, ...marks);
  const at = (mark) => svg("svg", { class: "pl-at", x: 11, y: 7 }, mark);
  const item = (kind, text, mark) => h("li", { "data-kind": kind }, sign(mark), text);
  const items = [
    item("both", "requested", at(svg("rect", { class: "pl-requested", x: -1, y: -7, width: 2, height: 14 }))),
    item("both", "achieved", at(svg("path", { class: "pl-achieved", d: DOT }))),
    item("shares", "achieved, outside the band", at(svg("path", { class: "pl-achieved pl-beyond", d: DIAMOND }))),
    item("shares", "band: 95 % of independent draws", svg("rect", { class: "pl-honest", y: 1, width: 22, height: 12 })),
    item("numbers", "requested spread", svg("path", { class: "pl-spread", d: "M1 14V6H7V2H15V8H21V14Z" })),
    item("numbers", "achieved spread", svg("path", { class: "pl-column", d: "M3 14V7H5V14ZM9 14V3H12V14ZM16 14V9H18V14Z" })),
  ];
  const show = (kinds) => {
    for (const each of items) each.hidden = each.dataset.kind !== "both" && !kinds.has(each.dataset.kind);
  };
  return { element: h("ul.pl-legend", {}, ...items), show };
}
