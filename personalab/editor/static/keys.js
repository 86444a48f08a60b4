// The notebook around the editor: its theme, whose keys are whose, and when its stored outputs follow an edit.

const REST = 3000; // ms of quiet after an edit until the outputs stored in the notebook follow it

function followTheme(root) {
  const scheme = window.matchMedia("(prefers-color-scheme: dark)");
  const follow = () => root.classList.toggle("pl-dark", isDark(root, scheme.matches));
  const watcher = new MutationObserver(follow);
  watcher.observe(document.body, { attributes: true });
  scheme.addEventListener("change", follow);
  follow();
  const later = requestAnimationFrame(follow); // a notebook puts the view on the page after it is made
  return () => { watcher.disconnect(); scheme.removeEventListener("change", follow); cancelAnimationFrame(later); };
}

/** Whether the notebook is dark: JupyterLab says so; elsewhere the nearest background tells, or what the reader prefers. */
function isDark(root, preferred) {
  const light = document.body.dataset.jpThemeLight;
  if (light !== undefined) return light === "false";
  for (let place = root.isConnected ? root.parentElement : document.body; place; place = place.parentElement) {
    const [red, green, blue, opaque = 1] = getComputedStyle(place).backgroundColor.match(/[\d.]+/g)?.map(Number) ?? [0, 0, 0, 0];
    if (opaque > 0.5) return 0.3 * red + 0.59 * green + 0.11 * blue < 110;
  }
  return preferred;
}

const SUPPRESSED = "data-lm-suppress-shortcuts";

/**
 * Keep the notebook's own keys (a, b, dd, arrows, Shift+Enter) from acting on cells while the editor has the focus.
 * JupyterLab's shortcuts match the focused element before they look at what holds it, so that element is marked too,
 * and before Lab's listener runs. What is pressed with Ctrl or Cmd, such as Save, stays Lab's where it is not ours.
 */
function keepKeys(root) {
  const mark = (event) => {
    if (!root.contains(event.target)) return;
    const theirs = (event.ctrlKey || event.metaKey) && !historyKey(event) && event.key !== "Enter";
    for (const each of [root, event.target]) {
      if (theirs) each.removeAttribute(SUPPRESSED);
      else each.setAttribute(SUPPRESSED, "true");
    }
  };
  window.addEventListener("keydown", mark, true);
  // Lab also listens on the box itself, to take the line break of Enter and the box's own undo away from it.
  root.addEventListener("beforeinput", (event) => event.stopPropagation(), true);
  return () => window.removeEventListener("keydown", mark, true);
}

const WRITTEN = "textarea, input:not([type='range'], [type='checkbox'], [type='radio'])";

function followKeys(root, store) {
  const unsettled = new WeakSet(); // boxes with text that no command has taken yet: there, undo is the box's own
  const settle = (event) => unsettled.delete(event.target);
  root.addEventListener("input", (event) => { if (event.target.matches(WRITTEN)) unsettled.add(event.target); });
  root.addEventListener("change", settle);
  root.addEventListener("focusout", settle);
  root.addEventListener("keydown", (event) => {
    if (event.defaultPrevented) return;
    if (event.key === "Escape") return leaveOrClose(root, event);
    const op = historyKey(event);
    if (!op || unsettled.has(event.target)) return;
    event.preventDefault();
    event.stopPropagation();
    goInHistory(store, op);
  });
}

function historyKey(event) {
  if (!(event.ctrlKey || event.metaKey) || event.altKey) return null;
  const key = event.key.toLowerCase();
  if (key === "z") return event.shiftKey ? "redo" : "undo";
  return key === "y" && !event.shiftKey ? "redo" : null;
}

/** What undo or redo would undo or redo: the step's name, or undefined where there is none. */
function stepOf({ steps, step }, op) {
  return op === "undo" ? (step > 0 ? steps[step] : undefined) : steps[step + 1];
}

function goInHistory(store, op) {
  if (store.underway || stepOf(store.state, op) !== undefined) store.send(op);
}

/** Escape closes what is open; where nothing is, it gives the notebook its keys back. */
function leaveOrClose(root, event) {
  const open = root.querySelector(".pl-drawer[aria-expanded='true']");
  event.preventDefault();
  event.stopPropagation();
  if (open) { open.click(); open.focus(); }
  else giveKeysBack(root);
}

function giveKeysBack(root) {
  for (const place of [root.closest(".jp-Cell"), root.closest(".jp-Notebook")]) {
    place?.focus({ preventScroll: true });
    if (place && document.activeElement === place) return;
  }
  document.activeElement?.blur();
}

/**
 * Have the focus go on nearby where what has it goes away, as the button of a rule that was removed does; else the keys
 * would be the notebook's all of a sudden. It goes to a box rather than to a button, which would do the next thing.
 */
function keepFocus(root, store) {
  let held = []; // what has the focus, and what that is in, from the inside out
  const goes = (element) => !root.contains(element) || !element.checkVisibility();
  const look = () => requestAnimationFrame(() => {
    const { activeElement } = root.getRootNode();
    if (!held.length || !goes(held[0]) || (activeElement !== held[0] && activeElement !== null && activeElement !== document.body)) return;
    const near = held.filter((element) => !goes(element)).map((element) => boxesIn(element)[0] ?? tabStops(element)[0]);
    near.find(Boolean)?.focus({ preventScroll: true });
  });
  root.addEventListener("focusin", ({ target }) => {
    held = [];
    for (let place = target; place !== root.parentElement; place = place.parentElement) held.push(place);
  });
  root.addEventListener("focusout", ({ target }) => requestAnimationFrame(() => { if (held[0] === target && !goes(target) && !target.matches(":focus")) held = []; }));
  root.addEventListener("click", look);
  store.on(root, ["rev"], look);
}

const tabStops = (place) => [...place.querySelectorAll("button, select, input, [tabindex='0']")].filter((stop) => stop.checkVisibility());

/** Have the stored outputs follow an edit once the hands rest: the focus has left, or some seconds have passed. */
function followRest(root, store) {
  store.rested ??= store.state.rev; // of the store, so that two views of it ask once
  let timer = null;
  const rest = () => {
    clearTimeout(timer);
    if (store.rested === store.state.rev) return;
    store.rested = store.state.rev;
    store.send("rest", {}, { key: "rest" });
  };
  store.on(root, ["rev"], () => {
    clearTimeout(timer);
    if (store.rested !== store.state.rev) timer = setTimeout(rest, REST);
  });
  root.addEventListener("focusout", (event) => { if (!root.contains(event.relatedTarget)) rest(); });
  window.addEventListener("pagehide", rest);
  return () => { clearTimeout(timer); window.removeEventListener("pagehide", rest); };
}
