// The population beside the blueprint: a line that says what an edit did to it, the head of its table, and its people.

const ROWS = 8; // people that the kernel sends at once, for the table
const CARDS = 6; // and for the cards

/** How many people, which seed, what the edits changed, and the two things to be done about it. */
function summaryLine(store) {
  const size = wholeBox(store, "n", 1);
  const seed = wholeBox(store, "seed", 0);
  const changed = h("span.pl-effect", { role: "status" });
  const again = h("button", { type: "button", onclick: () => store.send("resample").then(answered) }, icon("dice"), "Resample");
  const write = h("button", { type: "button", onclick: () => store.send("write").then(answered) });
  const cost = h("span.pl-soft", { id: fresh("cost") });
  write.setAttribute("aria-describedby", cost.id);
  const wrong = complaint(again);
  const failed = complaint(h("span")); // here too: the head of a long editor may be out of sight
  const answered = (answer) => wrong.say(refusalOf(answer));
  const summary = h("p.pl-summary");
  const view = h("section.pl-draw", { "aria-label": "population" },
    h("div.pl-draw-line", {}, h("label", {}, size.box, " personas"), h("label", {}, "seed ", seed.box), changed, again),
    size.wrong, seed.wrong, wrong,
    h("div.pl-draw-line", {}, write, cost), failed,
    summary);
  store.on(view, ["error"], () => failed.say(store.state.error ? refusalOf({ refused: store.state.error }) : null));
  store.on(view, ["population", "work", "model"], () => {
    const { population, work, model } = store.state;
    view.hidden = !population;
    if (!population) return;
    size.show();
    seed.show();
    lettered(changed, changesTold(population));
    write.disabled = Boolean(work) || !unwrittenOf(population);
    again.disabled = Boolean(work);
    lettered(write, writeTold(population));
    lettered(cost, costTold(population, work, model));
    lettered(summary, population.summary ?? "");
  });
  return view;
}

/** A box for the population's `n` or `seed`: taken over on Enter or when it is left. */
function wholeBox(store, key, least) {
  const box = h("input.pl-draw-box", { type: "text", inputMode: "numeric", autocomplete: "off", "aria-label": key === "n" ? "number of personas" : "seed" });
  const wrong = complaint(box);
  let shown = "";
  const show = () => {
    const text = String(store.state.population[key]);
    if (box.value === shown) box.value = text; // else something is being typed
    shown = text;
  };
  box.addEventListener("change", async () => {
    const value = wholeTyped(box.value);
    if (!(value >= least)) { wrong.say(`${box.value.trim() || "nothing"} is no whole number from ${least} on`); return; }
    wrong.say("");
    if (value === store.state.population[key]) { box.value = shown; return; }
    const answer = await store.send("resample", { [key]: value }, { key: `resample:${key}` });
    wrong.say(refusalOf(answer));
    if (!answer.refused && !answer.replaced) box.value = shown;
  });
  return { box, wrong, show };
}

/** A whole number as typed, with or without commas between thousands; NaN for anything else. */
function wholeTyped(text) {
  const plain = /^\s*\d{1,3}(,\d{3})+\s*$/.test(text) ? text.replaceAll(",", "") : text;
  const value = typed(plain);
  return Number.isSafeInteger(value) ? value : NaN;
}

/** "this edit changed 80, all edits 120 · texts of 12 personas to write again". */
function changesTold({ changed, edited, drawn, texts, written }) {
  const all = changed.toLocaleString("en");
  const people = drawn ? `just drawn${changed ? `; the edits changed ${all} of them` : ""}`
    : changed || edited ? `this edit changed ${(edited ?? 0).toLocaleString("en")}, all edits ${all}`
    : "nobody changed yet";
  return [people, written && texts ? `texts of ${count(texts, "persona")} to write again` : ""].filter(Boolean).join(" · ");
}

/** How many personas have a text to be written: all of them, where nothing ever was. */
const unwrittenOf = ({ n, texts, written }) => (written ? texts : n);

const writeTold = (population) => (unwrittenOf(population) ? `Write texts (${unwrittenOf(population).toLocaleString("en")})` : "Write texts");

function costTold(population, work, model) {
  if (work) return "The model is at work.";
  if (!unwrittenOf(population)) return "Every text is written.";
  return `Asks ${model || "the model"} for the texts of ${count(unwrittenOf(population), "persona")}, which takes time and costs tokens.`;
}

/** "people 1–8 of 1,000" with a button to either side; `size` people a page. */
function pager(store, size, what) {
  const turn = (by) => () => {
    const to = turned(by);
    if (to !== null) store.send("page", { first: to }, { key: "page" });
  };
  const turned = (by) => {
    const { first, n } = store.state.population;
    const to = Math.max(0, first + by * size);
    return to === first || to >= n ? null : to;
  };
  const back = h("button", { type: "button", "aria-label": `Previous ${what}`, onclick: turn(-1) }, "Previous");
  const on = h("button", { type: "button", "aria-label": `Next ${what}`, onclick: turn(1) }, "Next");
  const place = h("span.pl-place", { role: "status" });
  const show = (shown) => {
    const { first, n } = store.state.population;
    const [from, to, all] = [first + 1, first + shown, n].map((each) => each.toLocaleString("en"));
    lettered(place, shown ? `people ${from}–${to} of ${all}` : "nobody");
    patched(back, { "aria-disabled": turned(-1) === null }); // a disabled button would lose the focus at the end
    patched(on, { "aria-disabled": turned(1) === null });
  };
  return { element: h("div.pl-pager", {}, back, place, on), show };
}

/** The population's head as a table; cells that an edit changed are marked until the next one. */
function peopleView(store) {
  const head = h("tr");
  const body = h("tbody");
  const caption = h("caption.pl-sr", {}, "the head of the population");
  const table = h("table.pl-people", {}, caption, h("thead", {}, head), body);
  const pages = pager(store, ROWS, "rows");
  const view = h("section.pl-people-view", { "aria-label": "people" },
    h("div.pl-people-scroller", { tabIndex: 0, role: "region", "aria-label": "people as a table" }, table), pages.element);
  let before = null;
  store.on(view, ["population"], () => {
    const { population } = store.state;
    view.hidden = !population;
    if (!population) { before = null; return; }
    fillHead(head, body, population);
    fillPeople(body, population);
    if (isSamePage(before, population)) flagChanged(body, before.rows, population.rows);
    before = population;
    pages.show(population.rows.length);
  });
  return view;
}

/** A new head, and no rows yet, where the columns are others than before. */
function fillHead(head, body, { columns, rows }) {
  const texts = [...head.cells].map((cell) => cell.textContent);
  if (JSON.stringify(texts) !== JSON.stringify(columns)) {
    head.replaceChildren(...columns.map((column) => h("th", { scope: "col" }, column)));
    body.replaceChildren();
  }
  columns.forEach((_, at) => head.cells[at].classList.toggle("pl-number", isNumeric(rows, at)));
}

const isNumeric = (rows, at) => rows.some((row) => typeof row[at] === "number");
const cellTold = (value) => (value === null || value === undefined || value === "" ? "–" : typeof value === "number" ? told(value, 6) : String(value));

function fillPeople(body, { rows }) {
  fillRows(body, rows.map((row) => row.map(cellTold)));
  const numeric = (rows[0] ?? []).map((_, at) => isNumeric(rows, at));
  for (const row of body.rows) numeric.forEach((is, at) => row.cells[at].classList.toggle("pl-number", is));
}

const samePage = ({ n, seed, first, columns }) => JSON.stringify([n, seed, first, columns]);
const isSamePage = (before, now) => before !== null && samePage(before) === samePage(now);

/** Mark the cells that differ; the styles of a mark begin anew each time. */
function flagChanged(body, before, now) {
  for (const cell of body.querySelectorAll(".pl-changed")) cell.classList.remove("pl-changed");
  const flagged = now.flatMap((row, at) => row.flatMap((value, column) => (before[at]?.[0] === row[0] && before[at][column] !== value ? [body.rows[at].cells[column]] : [])));
  if (flagged.length) body.getBoundingClientRect(); // else the browser sees no change and does not begin anew
  for (const cell of flagged) cell.classList.add("pl-changed");
}

/** Personas as cards: who they are, and what the model wrote about them. */
function cardsView(store) {
  const cards = h("div.pl-cards");
  const pages = pager(store, CARDS, "cards");
  const view = h("section.pl-cards-view", { "aria-label": "personas" }, cards, pages.element);
  const cardAt = keyed(() => personaCard());
  store.on(view, ["population"], () => {
    const { population } = store.state;
    view.hidden = !population;
    if (!population) return;
    const shown = cardAt(population.cards.map((card) => card.id));
    shown.forEach((card, at) => card.show(population.cards[at], population.written));
    arrange(cards, shown.map((card) => card.element));
    pages.show(population.cards.length);
  });
  return view;
}

function personaCard() {
  const element = h("article.pl-card");
  let before = "";
  const show = (card, isWritten) => {
    if (before === (before = JSON.stringify([card, isWritten]))) return;
    const id = card.name && card.name !== card.id ? h("span.pl-soft", {}, card.id) : null;
    const facts = h("dl", {}, ...card.facts.flatMap(([key, value]) => [h("dt", {}, key), h("dd", {}, cellTold(value))]));
    arrange(element, [h("header", {}, h("h4", {}, card.name || card.id), id), facts, ...personaTexts(card, isWritten)]);
  };
  return { element, show };
}

/** What the model wrote about a persona, each part missing said; one word for all where nothing was ever written. */
function personaTexts({ tagline, portrait, texts }, isWritten) {
  const parts = [["pl-tagline", tagline], ["pl-portrait", portrait], ...texts.map(([, text]) => ["pl-text", text])];
  const missing = (text) => h("p.pl-missing", {}, text);
  if (!isWritten && parts.every(([, text]) => !text)) return [missing("not written yet")];
  const shown = parts.map(([kind, text]) => (text ? h(`p.${kind}`, {}, text) : missing("text to be written again")));
  return [...shown.slice(0, 2), ...texts.flatMap(([key], at) => [h("h5", {}, key), shown[at + 2]])];
}
