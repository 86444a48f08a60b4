// What the kernel says: that it is silent or gone, what went wrong, how far a model is, what the linter remarks.

function noticesOf(store) {
  return h("div.pl-notices", {}, silenceBanner(store), errorAlert(store), workBar(store), remarksOf(store));
}

function silenceBanner(store) {
  const banner = h("div.pl-banner", { role: "status" });
  store.on(banner, ["silent"], () => {
    banner.hidden = !store.silent && !store.gone;
    banner.textContent = store.gone
      ? "The kernel that ran this editor is gone. Run the cell again; edits from here on are not kept."
      : store.silent ? "The kernel has not answered for some seconds. What you see may not be in form.blueprint yet." : "";
  });
  return banner;
}

function errorAlert(store) {
  const message = h("p");
  const hint = h("p.pl-soft");
  const close = h("button.pl-quiet", { type: "button", "aria-label": "Dismiss", onclick: () => { alert.hidden = true; } }, icon("remove"));
  const alert = h("div.pl-error", { role: "alert" }, h("div", {}, message, hint), close);
  store.on(alert, ["error"], () => {
    const { error } = store.state;
    alert.hidden = !error;
    message.textContent = error?.message ?? "";
    hint.textContent = error?.hint ?? "";
    hint.hidden = !error?.hint;
  });
  return alert;
}

/** What the model is at, how far, and the way out. */
function workBar(store) {
  const text = h("span.pl-worktext");
  const bar = h("progress", { "aria-label": "Progress" });
  const spent = h("span.pl-soft");
  const cancel = h("button", { type: "button", onclick: () => store.send("cancel", {}, { key: "cancel" }) }, "Cancel");
  const group = h("div.pl-work", { role: "group", "aria-label": "The model at work" }, text, bar, spent, cancel);
  let [began, ticking] = [0, null];
  const tick = () => {
    const tokens = store.state.work?.tokens;
    spent.textContent = [tokens ? count(tokens, "token") : "", `${Math.round((Date.now() - began) / 1000)} s`].filter(Boolean).join(" · ");
  };
  store.on(group, ["work"], () => {
    const { work } = store.state;
    group.hidden = !work;
    if (!work || ticking === null) { clearInterval(ticking); ticking = null; }
    if (!work) return;
    if (ticking === null) { began = Date.now(); ticking = setInterval(tick, 1000); }
    text.textContent = work.text || (work.what === "write" ? "Writing texts" : "Inferring a blueprint");
    if (work.total) { bar.max = work.total; bar.value = work.done; } else bar.removeAttribute("value");
    tick();
  });
  return group;
}

function remarksOf(store) {
  const summary = h("summary");
  const list = h("ul");
  const remarks = h("details.pl-remarks", {}, summary, list);
  store.on(remarks, ["warnings"], () => {
    const { warnings } = store.state;
    remarks.hidden = !warnings.length;
    summary.textContent = `${count(warnings.length, "remark")} on the blueprint`;
    refill(list, warnings, () => h("li"), (item, { path, reason, fix }) => {
      item.replaceChildren(h("span.pl-mono", {}, path), ` ${reason}`, ...(fix ? [h("span.pl-soft", {}, ` ${capital(fix)}`)] : []));
    });
  });
  return remarks;
}
