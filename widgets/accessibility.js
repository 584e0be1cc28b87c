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
  namePictures(root, alts);
  for (const icon of root.querySelectorAll("button i.fa")) icon.setAttribute("aria-hidden", "true");
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
    attributeFilter: ["style", "class", "disabled"],
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
