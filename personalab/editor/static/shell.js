// The frame of the editor: its head, what the kernel says, where one is, and the people below.
//
// Everything stands in the flow of the page, panels that open included, because a notebook's output cuts off what
// hangs out of it. Buttons that cannot do anything just now stay in place (aria-disabled), or the focus would be lost.

/** Made once for each model, before any view of it: the store outlives the views. */
function initialize({ model }) { storeOf(model); }

/** Show the editor in `el`; returns what takes it away again. */
function render({ model, el }) {
  const store = storeOf(model);
  const root = h("section.personalab-editor", { [SUPPRESSED]: "true" });
  root.append(editorHead(store), noticesOf(store), editorMain(store), populationPart(store));
  el.append(root);
  store.on(root, ["domain"], () => root.setAttribute("aria-label", `Blueprint editor: ${store.state.domain || "none yet"}`));
  followKeys(root, store);
  const ends = [followTheme(root), keepKeys(root), followRest(root, store)];
  keepFocus(root, store);
  return () => {
    ends.forEach((end) => end());
    store.forget(root);
    root.remove();
  };
}

function populationPart(store) {
  const part = h("div.pl-peoplepart");
  let built = false;
  store.on(part, ["population"], () => {
    part.hidden = !store.state.population;
    if (built || part.hidden) return;
    built = true;
    part.append(summaryLine(store), tabsOf(store, [["Fidelity", fidelityView], ["Table", peopleView], ["Personas", cardsView]]));
  });
  return part;
}

/** Tabs; a view is made when it is first looked at. */
function tabsOf(store, views) {
  const list = h("div.pl-tabs", { role: "tablist", "aria-label": "Views of the people" });
  const parts = views.map(([name, view]) => {
    const panel = h("div.pl-tabpanel", { role: "tabpanel", id: fresh("view"), tabindex: "0", hidden: true });
    const tab = h("button.pl-quiet.pl-tab", { type: "button", role: "tab", id: fresh("tab"), "aria-controls": panel.id, onclick: () => show(tab) }, name);
    panel.setAttribute("aria-labelledby", tab.id);
    list.append(tab);
    return { tab, panel, view };
  });
  const show = (chosen) => {
    for (const { tab, panel, view } of parts) {
      tab.setAttribute("aria-selected", String(tab === chosen));
      tab.tabIndex = tab === chosen ? 0 : -1;
      panel.hidden = tab !== chosen;
      if (tab === chosen && !panel.hasChildNodes()) panel.append(view(store));
    }
  };
  list.addEventListener("keydown", (event) => stepThrough(event, parts.map(({ tab }) => tab)));
  show(parts[0].tab);
  return h("div", {}, list, ...parts.map(({ panel }) => panel));
}

export default { initialize, render };
