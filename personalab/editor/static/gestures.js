// From hands to commands: which presses belong together, how far a key goes, and what the kernel has against it.
//
// Whatever a hand does to one control between two pauses, or while a pointer is down, is one gesture: its commands carry
// one number, and are one step to undo.

const QUIET = 1500; // ms without a key press after which the next one is a step of its own to undo

/** What holds for a field at a row's `when`, its base where `when` is null; null where there is none. */
function distributionOf(store, name, when) {
  const field = store.field(name);
  if (!field) return null;
  if (when === null) return field.base;
  const key = JSON.stringify(when);
  return field.rows.find((row) => JSON.stringify(row.when) === key) ?? null;
}

const commandKey = (op, name, when) => `${op}:${name}:${JSON.stringify(when)}`;

/** Number the gestures of some controls: what is done between two pauses, or while a pointer is down, is one step. */
function gestures(store) {
  let number = null;
  let last = 0;
  let held = false;
  const begin = () => { number = store.gesture(); last = Date.now(); };
  const hold = () => {
    begin();
    held = true;
    for (const event of ["pointerup", "pointercancel"]) window.addEventListener(event, () => { held = false; }, { once: true });
  };
  return {
    watch(control) { control.addEventListener("focus", begin); control.addEventListener("pointerdown", hold); return control; },
    now() {
      if (number === null || (!held && Date.now() - last > QUIET)) begin();
      last = Date.now();
      return number;
    },
  };
}

const KEYS = { ArrowUp: 1, ArrowRight: 1, ArrowDown: -1, ArrowLeft: -1, PageUp: 10, PageDown: -10, Home: -Infinity, End: Infinity };

/** How many steps a key asks for: arrows one, with Shift a tenth, Page ten, Home and End all; 0 for every other key. */
function stepsOf(event, keys = Object.keys(KEYS)) {
  if (event.ctrlKey || event.metaKey || event.altKey || !keys.includes(event.key)) return 0;
  return KEYS[event.key] * (event.shiftKey && event.key.startsWith("Arrow") ? 0.1 : 1);
}

/** Send a command and say beside `wrong` what the kernel has against it; whether it was accepted. */
async function attempt(store, wrong, op, args, options = {}) {
  const answer = await store.send(op, args, options);
  wrong.say(refusalOf(answer));
  return !answer.refused;
}

/** Leave what was typed with Escape, which then goes no further; with nothing typed it stays the notebook's key. */
function onEscape(control, isTyped, restore) {
  control.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || !isTyped()) return;
    event.preventDefault();
    event.stopPropagation();
    restore();
  });
}
