"use strict";
// The viewer of one patient: NiiVue draws; what is shown, and the values under the cross-hair, are kept here.
(() => {
  const byId = (id) => document.getElementById(id);
  const settings = JSON.parse(byId("settings").textContent);
  const ofKind = (kind) => settings.volumes.filter((volume) => volume.kind === kind);
  const images = ofKind("image");
  const maps = settings.volumes.filter((volume) => volume.kind === "probability" || volume.kind === "uncertainty");
  const state = { image: images.find((image) => image.id === "image-t1ce") || images[0] || null, map: null, shown: new Set(["labels", "reference"]) };
  let nv = null;
  let place = settings.start.slice();

  async function unpack(volume) {
    const packed = Uint8Array.from(atob(byId(`data-${volume.id}`).textContent), (letter) => letter.charCodeAt(0));
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
    const buffer = await new Response(stream).arrayBuffer();
    const header = new DataView(buffer);
    const start = header.getFloat32(108, true);
    volume.array = header.getInt16(70, true) === 2 ? new Uint8Array(buffer, start) : new Int16Array(buffer, start);
    return buffer;
  }

  const index = ([x, y, z]) => x + settings.shape[0] * (y + settings.shape[1] * z);
  const valueAt = (volume, voxel) => volume.array[index(voxel)] * volume.slope;

  // ---- colours -------------------------------------------------------------------------------------------------

  function labelTable(colours) {
    const table = { R: [0], G: [0], B: [0], A: [0], I: [0], labels: [""] };
    colours.forEach(([red, green, blue], number) => {
      table.R.push(red); table.G.push(green); table.B.push(blue); table.A.push(255); table.I.push(number + 1); table.labels.push("");
    });
    return table;
  }

  function mapTable(colours) {
    const table = { R: [], G: [], B: [], A: [], I: [] };
    colours.forEach(([red, green, blue], number) => {
      table.R.push(red); table.G.push(green); table.B.push(blue);
      table.A.push(Math.min(255, number * 12));  // what is next to nothing covers nothing
      table.I.push(Math.round((255 * number) / (colours.length - 1)));
    });
    return table;
  }

  // A reference is drawn as the voxels on the border of each of its regions.
  function outlineOf(buffer) {
    const copy = buffer.slice(0);
    const start = new DataView(copy).getFloat32(108, true);
    const from = new Uint8Array(buffer, start);
    const to = new Uint8Array(copy, start);
    const [nx, ny, nz] = settings.shape;
    for (let z = 0, at = 0; z < nz; z++) for (let y = 0; y < ny; y++) for (let x = 0; x < nx; x++, at++) {
      const own = from[at];
      const less = own > 0 && ((x > 0 && from[at - 1] < own) || (x < nx - 1 && from[at + 1] < own) ||
        (y > 0 && from[at - nx] < own) || (y < ny - 1 && from[at + nx] < own) ||
        (z > 0 && from[at - nx * ny] < own) || (z < nz - 1 && from[at + nx * ny] < own));
      to[at] = less ? 1 : 0;
    }
    return copy;
  }

  async function imageOf(volume, buffer) {
    const name = `${volume.id}.nii`;
    if (volume.kind === "image") return niivue.NVImage.new(buffer, name, "gray", 1, null, volume.low, volume.high);
    if (volume.kind === "labels" || volume.kind === "reference") {
      const colours = volume.kind === "labels" ? settings.regions.map((region) => region.colour) : [settings.reference];
      const image = await niivue.NVImage.new(volume.kind === "labels" ? buffer : outlineOf(buffer), name, "gray", 0.6, null, 0, colours.length);
      image.setColormapLabel(labelTable(colours));
      return image;
    }
    return niivue.NVImage.new(buffer, name, volume.kind, 0.8, null, 0, volume.kind === "uncertainty" ? 100 : 1);
  }

  // ---- what is drawn -------------------------------------------------------------------------------------------

  function draw() {
    const base = state.image || ofKind("labels")[0];
    const opacity = Number(byId("label-opacity").value);
    const shown = [base];
    for (const volume of settings.volumes) {
      if (volume === base || volume.kind === "image") continue;
      if (volume === state.map) volume.image.opacity = Number(byId("map-opacity").value);
      else if (state.shown.has(volume.kind)) volume.image.opacity = volume.kind === "labels" ? opacity : 1;
      else continue;
      shown.push(volume);
    }
    base.image.opacity = 1;
    nv.volumes = shown.map((volume) => volume.image);
    nv.overlays = nv.volumes.slice(1);
    nv.back = nv.volumes[0];
    nv.updateGLVolume();
    nv.drawScene();
    byId("label-opacity-value").textContent = `${Math.round(100 * opacity)} %`;
    byId("map-opacity-value").textContent = `${Math.round(100 * byId("map-opacity").value)} %`;
    document.body.dataset.shown = shown.map((volume) => volume.id).join(" ");
  }

  function showWindow() {
    const volume = state.image;
    byId("window").disabled = !volume;
    if (!volume) return;
    for (const end of ["low", "high"]) {
      const slider = byId(end);
      slider.min = volume.least;
      slider.max = volume.most;
      slider.value = volume[`${end}Now`] ?? volume[end];
      byId(`${end}-value`).textContent = format(Number(slider.value));
    }
  }

  function changeWindow(end) {
    const volume = state.image;
    const least = (volume.most - volume.least) / 500;
    volume.lowNow = Number(byId("low").value);
    volume.highNow = Number(byId("high").value);
    if (volume.highNow - volume.lowNow < least) {
      if (end === "low") volume.lowNow = volume.highNow - least;
      else volume.highNow = volume.lowNow + least;
    }
    volume.image.cal_min = volume.lowNow;
    volume.image.cal_max = volume.highNow;
    showWindow();
    nv.updateGLVolume();
  }

  function chooseImage(volume) {
    state.image = volume;
    const choice = byId(`choose-${volume.id}`);
    if (choice) choice.checked = true;
    showWindow();
    draw();
  }

  function chooseMap(id) {
    // Areas would cover the map; they can be shown again by their box.
    if (Boolean(id) === state.shown.has("labels")) toggle("labels");
    state.map = maps.find((map) => map.id === id) || null;
    byId("map").value = state.map ? id : "";
    const scale = byId("scale");
    scale.hidden = !state.map;
    if (state.map) {
      const colours = settings.maps[state.map.kind].map(([red, green, blue]) => `rgb(${red} ${green} ${blue})`);
      byId("scale-bar").style.background = `linear-gradient(90deg, ${colours.join(",")})`;
      byId("scale-low").textContent = "0";
      byId("scale-high").textContent = state.map.kind === "uncertainty" ? "100" : "1";
    }
    draw();
  }

  function toggle(kind) {
    const box = byId(`show-${kind}`);
    if (!box) return;
    if (state.shown.has(kind)) state.shown.delete(kind);
    else state.shown.add(kind);
    box.checked = state.shown.has(kind);
    draw();
  }

  // ---- values under the cross-hair -----------------------------------------------------------------------------

  const format = (value) => Math.abs(value) >= 100 || Number.isInteger(value) ? String(Math.round(value)) : value.toPrecision(3);
  const apply = (rows, [x, y, z]) => rows.map(([a, b, c, d]) => a * x + b * y + c * z + d);

  function describe(volume, voxel) {
    const value = valueAt(volume, voxel);
    if (volume.kind === "image") return [volume.title, format(value)];
    if (volume.kind === "labels") return ["Segmentation", settings.labels[value]];
    if (volume.kind === "reference") return ["Reference", settings.labels[value]];
    if (volume.kind === "probability") return [`Probability, ${volume.name}`, value.toFixed(2)];
    return [`Uncertainty, ${volume.name}`, String(Math.round(value))];
  }

  function showValues() {
    const stored = apply(settings.toStored, place).map(Math.round);
    const rows = [["Voxel", stored.join(", ")]];
    if (settings.oriented) {
      const world = apply(settings.toWorld, place);
      const names = [["L", "R"], ["P", "A"], ["I", "S"]];
      rows.push(["Position in mm", world.map((mm, axis) => `${Math.abs(mm).toFixed(1)} ${names[axis][mm < 0 ? 0 : 1]}`).join(", ")]);
    }
    rows.push(...settings.volumes.map((volume) => describe(volume, place)));
    byId("values").replaceChildren(...rows.map(([name, value]) => {
      const row = document.createElement("tr");
      const head = document.createElement("th");
      head.scope = "row";
      head.textContent = head.title = name;
      const cell = document.createElement("td");
      cell.textContent = cell.title = value;
      row.append(head, cell);
      return row;
    }));
    clearTimeout(showValues.timer);
    showValues.timer = setTimeout(() => {
      byId("spoken").textContent = rows.map(([name, value]) => `${name}: ${value}`).join("; ");
    }, 700);
  }

  function moveTo(voxel) {
    place = voxel.map((at, axis) => Math.max(0, Math.min(settings.shape[axis] - 1, Math.round(at))));
    nv.scene.crosshairPos = nv.vox2frac(place, 0);
    nv.drawScene();
    showValues();
  }

  // ---- controls ------------------------------------------------------------------------------------------------

  function choice(type, name, id, text, checked, change) {
    const label = document.createElement("label");
    const input = document.createElement("input");
    Object.assign(input, { type, name, id, checked });
    input.addEventListener("change", change);
    label.append(input, text);
    return label;
  }

  function buildControls() {
    images.forEach((volume) => {
      byId("images").append(choice("radio", "image", `choose-${volume.id}`, volume.title, volume === state.image, () => chooseImage(volume)));
    });
    if (!images.length) byId("images").hidden = byId("window").hidden = true;
    for (const volume of [...ofKind("labels"), ...ofKind("reference")]) {
      const text = volume.kind === "labels" ? "Segmentation" : "Reference, as lines";
      byId("label-choices").append(choice("checkbox", volume.kind, `show-${volume.kind}`, text, true, () => toggle(volume.kind)));
    }
    const select = byId("map");
    select.append(new Option("none", ""));
    for (const kind of ["probability", "uncertainty"]) {
      const group = document.createElement("optgroup");
      group.label = kind === "probability" ? "Probability" : "Uncertainty";
      for (const map of maps.filter((one) => one.kind === kind)) group.append(new Option(`${group.label}: ${map.title}`, map.id));
      if (group.children.length) select.append(group);
    }
    byId("maps").hidden = !maps.length;
    select.addEventListener("change", () => chooseMap(select.value));
    for (const end of ["low", "high"]) byId(end).addEventListener("input", () => changeWindow(end));
    byId("reset").addEventListener("click", () => {
      Object.assign(state.image, { lowNow: undefined, highNow: undefined });
      state.image.image.cal_min = state.image.low;
      state.image.image.cal_max = state.image.high;
      showWindow();
      nv.updateGLVolume();
    });
    byId("label-opacity").addEventListener("input", draw);
    byId("map-opacity").addEventListener("input", draw);
    byId("layout").addEventListener("change", () => chooseLayout(Number(byId("layout").value)));
  }

  function chooseLayout(type) {
    byId("layout").value = String(type);
    nv.setSliceType(type);
  }

  const steps = { ArrowLeft: [-1, 0, 0], ArrowRight: [1, 0, 0], ArrowUp: [0, 1, 0], ArrowDown: [0, -1, 0], PageUp: [0, 0, 1], PageDown: [0, 0, -1] };

  function onKey(event) {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    const step = steps[event.key];
    const key = event.key.toLowerCase();
    if (step) {
      // The patient's right is on the left, so that the left arrow moves towards the right.
      const size = event.shiftKey ? 10 : 1;
      moveTo(place.map((at, axis) => at + size * step[axis] * (axis === 0 ? -1 : 1)));
    } else if (event.key === "Home") moveTo(settings.start);
    else if (key === "s") toggle("labels");
    else if (key === "r") toggle("reference");
    else if (key === "m") chooseMap((maps[maps.indexOf(state.map) + 1] || { id: "" }).id);
    else if (key === "v") {
      const options = [...byId("layout").options].map((option) => Number(option.value));
      chooseLayout(options[(options.indexOf(Number(byId("layout").value)) + 1) % options.length]);
    } else if (/^[1-9]$/.test(key) && images[key - 1]) chooseImage(images[key - 1]);
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  async function start() {
    if (!document.createElement("canvas").getContext("webgl2") || !window.DecompressionStream) return;
    byId("viewer").hidden = false;
    byId("no-viewer").hidden = true;
    nv = new niivue.Niivue({
      backColor: [0, 0, 0, 1], crosshairColor: [0.35, 0.78, 1, 0.9], crosshairWidth: 0.8, crosshairWidthUnit: "mm", crosshairGap: 5, isRadiologicalConvention: true,
      dragAndDropEnabled: false, clipPlaneHotKey: "", viewModeHotKey: "", cycleClipPlaneHotKey: "", scrollRequiresFocus: false,
      sagittalNoseLeft: true,
      multiplanarShowRender: niivue.SHOW_RENDER.ALWAYS, multiplanarLayout: niivue.MULTIPLANAR_TYPE.GRID, loadingText: "", logLevel: "error", isOrientationTextVisible: settings.oriented,
      isForceMouseClickToVoxelCenters: true,
    });
    byId("canvas").addEventListener("keydown", onKey, true);
    await nv.attachToCanvas(byId("canvas"));
    for (const kind of ["probability", "uncertainty"]) nv.addColormap(kind, mapTable(settings.maps[kind]));
    const first = state.image || ofKind("labels")[0];
    const shownFirst = [first, ...ofKind("labels"), ...ofKind("reference")];
    for (const volume of new Set([...shownFirst, ...settings.volumes])) {
      volume.image = await imageOf(volume, await unpack(volume));
      if (volume === first) nv.addVolume(first.image);
      if (volume === shownFirst.at(-1)) {
        nv.setSliceType(3);
        draw();
        byId("loading").textContent = "";
      }
      await new Promise((go) => setTimeout(go));
    }
    buildControls();
    nv.onLocationChange = (location) => {
      const voxel = Array.from(location.vox).map((at, axis) => Math.max(0, Math.min(settings.shape[axis] - 1, Math.round(at))));
      if (voxel.some((at, axis) => at !== place[axis])) { place = voxel; showValues(); }
    };
    showWindow();
    draw();
    moveTo(settings.start);
    byId("loading").hidden = true;
    document.body.dataset.ready = "yes";
  }

  start().catch((fault) => {
    byId("viewer").hidden = true;
    byId("no-viewer").hidden = false;
    byId("no-viewer").textContent = `The viewer could not start (${fault.message}); the pictures and numbers on this page need no viewer.`;
  });
})();
