// Names, roles and states for the controls around this widget, and the page's theme.

const ROOT = ".lab-root";

function labelOf(element) {
  return element.querySelector(".widget-label")?.textContent?.trim() ?? "";
}

function nameSliders(root) {
  for (const slider of root.querySelectorAll(".widget-slider")) {
    const readout = slider.querySelector(".widget-readout")?.textContent?.trim();
    const disabled = slider.querySelector("[disabled]") !== null;
    for (const handle of slider.querySelectorAll("[role=slider]")) {
      handle.setAttribute("aria-label", labelOf(slider));
      handle.setAttribute("aria-disabled", String(disabled));
      if (readout) handle.setAttribute("aria-valuetext", readout);
    }
    const input = slider.querySelector(".widget-readout[contenteditable]");
    input?.setAttribute("aria-label", `${labelOf(slider)} value`);
  }
}

function nameProgress(root) {
  for (const progress of root.querySelectorAll(".widget-hprogress")) {
    const track = progress.querySelector(".progress");
    const bar = progress.querySelector(".progress-bar");
    if (!track || !bar) continue;
    track.setAttribute("role", "progressbar");
    track.setAttribute("aria-label", labelOf(progress) || "Progress");
    track.setAttribute("aria-valuemin", "0");
    track.setAttribute("aria-valuemax", "100");
    track.setAttribute("aria-valuenow", String(Math.round(parseFloat(bar.style.width) || 0)));
  }
}

function nameToggles(root) {
  for (const group of root.querySelectorAll(".widget-toggle-buttons")) {
    group.setAttribute("role", "group");
    group.setAttribute("aria-label", labelOf(group));
    for (const button of group.querySelectorAll("button")) {
      button.setAttribute("aria-pressed", String(button.classList.contains("mod-active")));
    }
  }
  root.querySelector(".lab-strategies")?.setAttribute("role", "group");
  root.querySelector(".lab-strategies")?.setAttribute("aria-label", "Strategies");
}

// ipywidgets cannot disable one option of several; its text or title says which cannot be chosen.
const NOT_NOW = "(not\u00a0now)"; // ipywidgets writes no-break spaces into options

function disableNotNow(root) {
  for (const option of root.querySelectorAll(".widget-dropdown option, .widget-select-multiple option")) {
    option.disabled = option.textContent.endsWith(NOT_NOW);
  }
  for (const button of root.querySelectorAll(".widget-toggle-button")) {
    if (button.title.startsWith("Not now:")) button.disabled = true; // it is made anew when it can
  }
}

// The headers of an accordion are plain text: make them buttons, for the keyboard too.
function openByKey(event) {
  if (event.key !== "Enter" && event.key !== " ") return;
  event.preventDefault();
  event.currentTarget.click();
}

function nameAccordions(root) {
  for (const part of root.querySelectorAll(".jupyter-widget-Collapse")) {
    const header = part.querySelector(".jupyter-widget-Collapse-header");
    if (!header) continue;
    header.setAttribute("role", "button");
    header.setAttribute("aria-expanded", String(part.classList.contains("jupyter-widget-Collapse-open")));
    if (header.tabIndex === 0) continue;
    header.tabIndex = 0;
    header.addEventListener("keydown", openByKey);
  }
}

// Files lie beside the notebook; JupyterLab serves them under "files/".
function linkFiles(root) {
  const found = document.getElementById("jupyter-config-data");
  const place = decodeURIComponent(location.pathname).match(/\/tree\/(.*)$/);
  if (!found || !place) return;
  const base = JSON.parse(found.textContent).baseUrl ?? "/";
  const folder = place[1].split("/").slice(0, -1);
  for (const link of root.querySelectorAll("a.lab-file:not([href])")) {
    if (link.dataset.path.startsWith("/") || link.dataset.path.startsWith("..")) continue;
    const path = [...folder, ...link.dataset.path.split("/")].map(encodeURIComponent).join("/");
    link.href = `${base}files/${path}`;
    link.target = "_blank";
    link.rel = "noopener";
  }
}

function namePictures(root, alts) {
  for (const [name, alt] of Object.entries(alts)) {
    const found = root.querySelector(`img.${name}, .${name} img`);
    if (found && found.alt !== alt) found.alt = alt;
  }
}

// A log that was written again starts at its top; people want its newest line.
function scrollLogs(root) {
  for (const log of root.querySelectorAll(".lab-log:not([data-scrolled])")) {
    log.dataset.scrolled = "true";
    log.scrollTop = log.scrollHeight;
  }
}

function tend(root, alts) {
  scrollLogs(root);
  nameSliders(root);
  nameProgress(root);
  nameToggles(root);
  nameAccordions(root);
  disableNotNow(root);
  linkFiles(root);
  namePictures(root, alts);
  for (const icon of root.querySelectorAll("button i.fa, [role=button] i.fa")) {
    icon.setAttribute("aria-hidden", "true");
  }
  const cards = root.querySelectorAll(".lab-card");
  for (const card of cards) {
    card.setAttribute("role", "region");
    card.setAttribute("aria-label", card.querySelector("h3")?.lastChild?.textContent?.trim() ?? "");
  }
}

// JupyterLab says its theme on the body; elsewhere the system's preference holds.
function isDark() {
  const light = document.body.dataset.jpThemeLight;
  if (light !== undefined) return light === "false";
  return window.matchMedia("(prefers-color-scheme: dark)").matches;
}

function followTheme(model) {
  const report = () => {
    if (model.get("dark") === isDark()) return;
    model.set("dark", isDark());
    model.save_changes();
  };
  report();
  const observer = new MutationObserver(report);
  observer.observe(document.body, { attributes: true, attributeFilter: ["data-jp-theme-light"] });
  return () => observer.disconnect();
}

// The widget may be rendered before it is put into the page, so its root is looked for again.
function followRoot(model, el) {
  const watched = {
    subtree: true,
    childList: true,
    characterData: true,
    attributes: true,
    attributeFilter: ["style", "class", "disabled", "title"],
  };
  let frame = 0;
  let root = null;
  const observer = new MutationObserver(() => schedule());
  const run = () => {
    frame = 0;
    if (root === null) root = el.closest(ROOT);
    if (root === null) return schedule();
    observer.disconnect(); // our own changes are no news
    tend(root, model.get("alts"));
    observer.observe(root, watched);
  };
  function schedule() {
    if (frame === 0) frame = requestAnimationFrame(run);
  }
  model.on("change:alts", schedule);
  schedule();
  return () => {
    model.off("change:alts", schedule);
    cancelAnimationFrame(frame);
    observer.disconnect();
  };
}

export default {
  render({ model, el }) {
    const endings = [followTheme(model), followRoot(model, el)];
    return () => endings.forEach((end) => end());
  },
};
