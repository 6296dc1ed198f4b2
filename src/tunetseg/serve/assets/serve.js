"use strict";
// Uploads files, shows what they were recognised as, the progress, and the page of the patient. Text from files and
// from the server is only ever set as text.
(() => {
  const settings = document.body.dataset;
  const channels = settings.channels.split(" ");
  const byId = (name) => document.getElementById(name);
  const sending = new Map(); // job -> what is being sent
  const leftOut = new Map(); // job -> sentences
  const cards = new Map(); // job -> { element, shown }

  function make(tag, options = {}, ...children) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(options)) {
      if (name === "class") element.className = value;
      else if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
      else if (typeof value === "boolean") element[name] = value;
      else element.setAttribute(name, value);
    }
    element.append(...children.filter((child) => child !== null));
    return element;
  }

  function complain(sentence) {
    byId("fault").textContent = sentence;
    byId("fault").hidden = !sentence;
  }

  class Refused extends Error {
    constructor(status, sentence) {
      super(sentence);
      this.status = status;
    }
  }

  async function ask(method, path, body) {
    let answer;
    try {
      answer = await fetch(path, { method, body });
    } catch {
      throw new Refused(0, "the server does not answer; is tunet serve still running?");
    }
    let said = {};
    try {
      said = await answer.json();
    } catch { /* an answer without a body */ }
    if (!answer.ok) throw new Refused(answer.status, said.error || `the server refused this (${answer.status})`);
    return said;
  }

  const megabytes = (bytes) => `${(bytes / 1e6).toFixed(bytes < 1e7 ? 1 : 0)} MB`;
  const counted = (count, word) => `${count} ${word}${count === 1 ? "" : "s"}`;

  // Files of a drop, folders included, as { name, file }.
  async function dropped(transfer) {
    const entries = [...transfer.items].map((item) => item.webkitGetAsEntry && item.webkitGetAsEntry()).filter(Boolean);
    if (!entries.length) return [...transfer.files].map((file) => ({ name: file.name, file }));
    const found = [];
    const waiting = entries.map((entry) => [entry, ""]);
    while (waiting.length && found.length <= Number(settings.mostFiles)) {
      const [entry, above] = waiting.pop();
      if (entry.isFile) {
        const file = await new Promise((done, failed) => entry.file(done, failed));
        found.push({ name: above + entry.name, file });
        continue;
      }
      const reader = entry.createReader();
      let part;
      do { // a folder is given in pieces
        part = await new Promise((done, failed) => reader.readEntries(done, failed));
        for (const one of part) waiting.push([one, `${above}${entry.name}/`]);
      } while (part.length);
    }
    return found;
  }

  async function upload(found) {
    complain("");
    const kept = found.filter(({ name }) => !name.split("/").some((part) => part.startsWith(".")));
    const size = kept.reduce((sum, { file }) => sum + file.size, 0);
    if (!kept.length) return complain("There is no file in what was given.");
    if (kept.length > Number(settings.mostFiles)) {
      return complain(`More than ${settings.mostFiles} files: give the folder of one patient.`);
    }
    if (size > Number(settings.mostBytes)) {
      return complain(`${megabytes(size)} are more than the ${megabytes(Number(settings.mostBytes))} that the server takes.`);
    }
    let job;
    try {
      job = (await ask("POST", "jobs")).id;
      sending.set(job, { done: 0, size });
      leftOut.set(job, []);
      await show();
      await send(job, kept);
      if (sending.has(job)) await ask("POST", `jobs/${job}/recognise`);
    } catch (fault) {
      complain(fault.message);
      if (job) await ask("DELETE", `jobs/${job}`).catch(() => {});
    } finally {
      sending.delete(job);
    }
    await show();
  }

  async function send(job, kept) {
    const state = sending.get(job);
    for (const { name, file } of kept) {
      if (!sending.has(job)) return;
      try {
        await ask("PUT", `jobs/${job}/files?name=${encodeURIComponent(name)}`, file);
      } catch (fault) {
        if (fault.status !== 415) throw fault;
        leftOut.get(job).push(fault.message);
      }
      state.done += file.size;
      await show();
    }
  }

  async function act(method, path) {
    complain("");
    try {
      await ask(method, path);
    } catch (fault) {
      complain(fault.message);
    }
    await show();
  }

  const words = { note: "Note", warning: "Warning", refuse: "Cannot be used" };

  function findingList(findings) {
    return make("ul", { class: "findings" }, ...findings.map((finding) =>
      make("li", { class: finding.level }, make("strong", {}, `${words[finding.level]}: `), finding.message)));
  }

  function recognised(one) {
    const rows = Object.entries(one.channels).map(([channel, source]) => make("tr", {},
      make("th", { scope: "row" }, channel), make("td", {}, source), make("td", {}, one.reasons[channel] || "")));
    const head = make("thead", {}, make("tr", {}, ...["Image", "File or series", "Why"].map((text) =>
      make("th", { scope: "col" }, text))));
    return make("div", { class: "case" },
      make("h4", {}, one.dataset ? `${one.id} (${one.dataset})` : one.id),
      make("div", { class: "scroll" }, make("table", { "aria-label": `Images of ${one.id}` }, head,
        make("tbody", {}, ...rows))),
      findingList(one.findings));
  }

  function measured(job) {
    const regions = Object.keys(job.results[0].volumes_ml);
    const head = make("tr", {}, make("th", { scope: "col" }, "Case"), ...regions.map((region) =>
      make("th", { scope: "col", class: "number" }, `${region}, ml`)), make("th", { scope: "col" }, "Report"));
    const rows = job.results.map((result, number) => make("tr", {}, make("th", { scope: "row" }, result.case),
      ...regions.map((region) => make("td", { class: "number" }, result.volumes_ml[region].toFixed(1))),
      make("td", {}, make("a", { href: `jobs/${job.id}/pages/${number}`, target: "_blank", rel: "noopener" },
        "in a tab of its own"))));
    return make("div", { class: "scroll" }, make("table", { "aria-label": "Volumes" }, make("thead", {}, head),
      make("tbody", {}, ...rows)));
  }

  function withoutChoice(job) {
    if (!job.cases.some((one) => one.dataset === "DICOM")) return null;
    const boxes = channels.map((channel) => make("input", { type: "checkbox", value: channel,
      checked: job.without.includes(channel) }));
    const again = make("button", { type: "button", onclick: () => {
      const chosen = boxes.filter((box) => box.checked).map((box) => `without=${encodeURIComponent(box.value)}`);
      act("POST", `jobs/${job.id}/recognise?${chosen.join("&")}`);
    } }, "Look again");
    return make("fieldset", {}, make("legend", {}, "Images to leave out"),
      ...boxes.map((box) => make("label", {}, box, ` ${box.value}`)), again);
  }

  function button(text, method, path, options = {}) {
    return make("button", { type: "button", ...options, onclick: () => act(method, path) }, text);
  }

  function stateLine(job) {
    const sent = sending.get(job.id);
    if (sent) return `Uploading: ${megabytes(sent.done)} of ${megabytes(sent.size)}`;
    if (job.state === "waiting" && job.position) return `Waiting: ${counted(job.position, "upload")} before this one`;
    return {
      uploading: "Not complete",
      waiting: "Waiting",
      recognising: `Looking at the files: ${job.task}`,
      recognised: "Recognised. Check the table, then start.",
      segmenting: job.task,
      done: "Done",
      failed: "Failed",
      cancelled: "Cancelled; its files are removed.",
    }[job.state];
  }

  function build(job) {
    const busy = ["uploading", "waiting", "recognising", "segmenting"].includes(job.state);
    const missed = (leftOut.get(job.id) || []).length + job.left_out;
    const startable = job.cases.some((one) => !one.refused);
    const actions = [];
    if (job.state === "recognised") {
      actions.push(button("Start", "POST", `jobs/${job.id}/start`, { class: "main", disabled: !startable }));
    }
    if (job.state === "done") {
      actions.push(make("a", { href: `jobs/${job.id}/results.zip`, download: "" }, "Download everything (zip)"));
    }
    actions.push(busy ? button("Cancel", "POST", `jobs/${job.id}/cancel`) : button("Remove", "DELETE", `jobs/${job.id}`));
    const notes = [...(leftOut.get(job.id) || []).slice(0, 5)];
    const title = job.cases.length ? job.cases.slice(0, 3).map((one) => one.id).join(", ") : "Upload";
    return [
      make("h3", {}, job.cases.length > 3 ? `${title} and ${job.cases.length - 3} more` : title),
      make("p", { class: "state" }),
      busy ? make("progress", { max: "1", "aria-label": "Progress" }) : null,
      job.faults.length ? findingList(job.faults.map((message) => ({ level: "refuse", message }))) : null,
      missed ? make("p", { class: "note" }, `${counted(missed, "file")} left out. ${notes.join(" ")}`) : null,
      job.results.length && job.state === "done" ? measured(job) : null,
      ...(job.state === "recognised" ? [...job.cases.map(recognised), withoutChoice(job)] : []),
      make("div", { class: "row" }, ...actions),
      job.state === "done" ? make("iframe", { src: `jobs/${job.id}/pages/0`, title: `Report of ${job.results[0].case}` }) : null,
    ].filter(Boolean);
  }

  // A card is built again only where more than its progress has changed, so that the viewer stays as it is.
  function draw(job) {
    let card = cards.get(job.id);
    if (!card) {
      card = { element: make("article", { class: "job" }), shown: "" };
      cards.set(job.id, card);
    }
    const kind = JSON.stringify([job.state, job.cases, job.results, job.faults, job.without, leftOut.get(job.id)]);
    if (kind !== card.shown) {
      card.element.replaceChildren(...build(job));
      card.element.dataset.state = job.state;
      card.shown = kind;
    }
    const line = stateLine(job);
    const place = card.element.querySelector(".state");
    if (place.textContent !== line) {
      place.textContent = line;
      byId("status").textContent = line;
    }
    const sent = sending.get(job.id);
    const bar = card.element.querySelector("progress");
    if (bar) bar.value = sent ? sent.done / Math.max(sent.size, 1) : job.share;
    return card.element;
  }

  let asked = 0;
  async function show() {
    const mine = ++asked;
    const { jobs } = await ask("GET", "jobs").catch((fault) => {
      complain(fault.message);
      return { jobs: null };
    });
    if (!jobs || mine !== asked) return;
    byId("none").hidden = jobs.length > 0;
    const known = new Set(jobs.map((job) => job.id));
    for (const [name, card] of cards) {
      if (known.has(name)) continue;
      card.element.remove();
      cards.delete(name);
      sending.delete(name);
    }
    jobs.forEach((job, number) => {
      if (job.state === "cancelled") sending.delete(job.id);
      const element = draw(job);
      const there = byId("jobs").children[number];
      if (there !== element) byId("jobs").insertBefore(element, there || null);
    });
  }

  async function watch() {
    for (;;) {
      await new Promise((done) => setTimeout(done, document.hidden ? 2000 : 400));
      await show();
    }
  }

  const drop = byId("drop");
  // Anywhere on the page, or a file that misses the field would be opened by the browser.
  document.addEventListener("dragover", (event) => {
    event.preventDefault();
    drop.classList.add("over");
  });
  document.addEventListener("dragleave", () => drop.classList.remove("over"));
  document.addEventListener("drop", async (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    upload(await dropped(event.dataTransfer));
  });
  for (const name of ["files", "folder"]) {
    byId(`choose-${name}`).addEventListener("click", () => byId(name).click());
    byId(name).addEventListener("change", (event) => {
      const found = [...event.target.files].map((file) => ({ name: file.webkitRelativePath || file.name, file }));
      event.target.value = "";
      upload(found);
    });
  }
  show().then(watch);
})();
