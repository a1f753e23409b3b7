"use strict";

const $ = (id) => document.getElementById(id);
const SVG = "http://www.w3.org/2000/svg";

const state = {
  language: "en", models: [], limits: null, adaptation: null, following: 0, turns: { before: [], after: [] }, talk: 0,
};

function say(key, values = {}) {
  return WORDS[state.language][key].replace(/\{(\w+)\}/g, (_, name) => values[name]);
}

function translate() {
  document.documentElement.lang = state.language;
  for (const element of document.querySelectorAll("[data-t]")) element.textContent = say(element.dataset.t);
  $("curve-caption").textContent = say("curve");
  showModel();
  showComparable();
}

async function ask(path, body, method = body === undefined ? "GET" : "POST") {
  const headers = {};
  if (body !== undefined) headers["Content-Type"] = "application/json";
  if ($("token").value) headers.Authorization = `Bearer ${$("token").value}`;
  let response;
  try {
    response = await fetch(path, { method, headers, body: body === undefined ? undefined : JSON.stringify(body) });
  } catch {
    throw new Error(say("unreachable"));
  }
  if (response.ok) return response;
  if (response.status === 401) {
    $("token-field").hidden = false;
    throw new Error(say("needs_token"));
  }
  const told = await response.json().catch(() => ({}));
  throw new Error(told.error || `${response.status}`);
}

async function guarded(place, action) {
  $(place).textContent = "";
  try {
    await action();
  } catch (error) {
    $(place).textContent = error.message;
  }
}

// The models

async function loadModels() {
  const found = await (await ask("/v1/models")).json();
  state.models = found.models;
  state.limits = found.limits;
  $("steps").max = state.limits.steps;
  $("model").replaceChildren(...state.models.map((model) => new Option(title(model), model.id)));
  showModel();
  showComparable();
}

// The name of a model, or its id where another has the same name.
function title(model) {
  return state.models.filter((one) => one.name === model.name).length > 1 ? model.id : model.name;
}

function showModel() {
  const model = state.models.find((one) => one.id === $("model").value);
  if (!model) return;
  const about = model.parent === null ? "" : `; ${say("about_parent", model)}`;
  $("model-about").textContent = say("about", model) + about;
}

function showComparable(added = null) {
  const chosen = new Set([...document.querySelectorAll("#compare-models input:checked")].map((box) => box.value));
  const first = chosen.size === 0;
  const rows = state.models.map((model) => [`model:${model.id}`, title(model)]);
  const adapted = state.adaptation;
  if (adapted && adapted.status === "finished") {
    const parent = state.models.find((model) => model.id === adapted.model);
    rows.push([`adaptation:${adapted.id}`, say("adapted", { model: title(parent) })]);
  }
  $("compare-models").replaceChildren(...rows.map(([value, name]) => {
    const label = document.createElement("label");
    const box = document.createElement("input");
    box.type = "checkbox";
    box.value = value;
    box.checked = first || value === added || chosen.has(value);
    label.append(box, name);
    return label;
  }));
}

// The adaptation

async function adapt() {
  const text = $("dialogues").value;
  if (!text.trim()) throw new Error(say("nothing"));
  await forget(false);
  const request = { model: $("model").value, text };
  if ($("steps").value !== "") request.steps = Number($("steps").value);
  $("adapt-button").disabled = true;
  $("cancel").hidden = false;
  $("curve").hidden = true;
  const following = ++state.following;
  try {
    const found = await (await ask("/v1/adaptations", request)).json();
    if (following !== state.following) { // cancelled meanwhile
      await remove(found);
      return;
    }
    state.adaptation = found;
    found.curve = []; // all of it comes as events
    await follow(found, following);
  } catch (error) {
    if (following === state.following) {
      state.adaptation = null;
      $("adapt-status").textContent = "";
      throw error;
    }
  } finally {
    if (following === state.following) endAdapting();
  }
}

function endAdapting() {
  $("adapt-button").disabled = false;
  $("cancel").hidden = true;
}

async function remove(adaptation) {
  await ask(`/v1/adaptations/${adaptation.id}`, undefined, "DELETE").catch(() => {});
}

// Draw an adaptation step by step, as the server tells of each.
async function follow(found, following) {
  showAdaptation(found);
  for await (const [name, data] of events(await ask(`/v1/adaptations/${found.id}/events`))) {
    if (following !== state.following) return;
    if (name === "error") throw new Error(data.error);
    if (name === "point") found.curve.push(data);
    else Object.assign(found, data); // the status, or at the end all of it
    showAdaptation(found);
  }
}

function showAdaptation(found) {
  const points = found.curve;
  const ready = found.status === "finished";
  if (points.length) draw(points, found.step);
  if (ready) {
    const [first, last] = [points[0], points[found.step]];
    const held = first.held_out_loss !== null;
    const loss = (point) => number(held ? point.held_out_loss : point.support_loss);
    const steps = found.step === 1 ? say("one_step") : say("some_steps", { step: found.step });
    $("adapt-status").textContent = say("finished", {
      steps, before: loss(first), after: loss(last), on: say(held ? "on_held" : "on_support"),
    });
  } else {
    $("adapt-status").textContent = found.status === "waiting" ? say("waiting")
      : say("running", { step: Math.max(0, points.length - 1) });
  }
  $("download").hidden = $("forget").hidden = !ready;
  $("not-adapted").hidden = ready;
  if (ready) {
    restart();
    showComparable(`adaptation:${found.id}`);
  }
}

async function forget(told = true) {
  state.following += 1;
  endAdapting();
  const adaptation = state.adaptation;
  state.adaptation = null;
  $("download").hidden = $("forget").hidden = true;
  $("not-adapted").hidden = false;
  restart();
  showComparable();
  if (adaptation) await remove(adaptation);
  if (told) {
    $("adapt-status").textContent = say(adaptation && adaptation.status === "finished" ? "forgotten" : "cancelled");
    $("curve").hidden = true;
    $("adapt-button").focus();
  }
}

async function download() {
  const response = await ask(`/v1/adaptations/${state.adaptation.id}/model`);
  const link = document.createElement("a");
  link.href = URL.createObjectURL(await response.blob());
  link.download = "adapted-model.zip";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

function number(value) {
  return value === null ? "–" : value.toFixed(3);
}

function draw(points, chosen) {
  const plot = $("plot");
  $("curve").hidden = false; // only then it has a width
  const width = Math.max(240, plot.clientWidth);
  plot.setAttribute("viewBox", `0 0 ${width} 240`);
  const [left, right, top, bottom] = [48, width - 16, 14, 206];
  const losses = points.flatMap((p) => [p.support_loss, p.held_out_loss]).filter((loss) => loss !== null);
  const [least, most] = [Math.min(...losses), Math.max(...losses)];
  const margin = Math.max(0.1 * (most - least), 0.05);
  const [low, high] = [Math.max(0, least - margin), most + margin];
  const steps = Math.max(points.length - 1, 5);
  const x = (step) => left + ((right - left) * step) / steps;
  const y = (loss) => bottom - ((bottom - top) * (loss - low)) / (high - low);
  plot.replaceChildren();
  const add = (name, attributes, text) => {
    const element = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    if (text !== undefined) element.textContent = text;
    plot.append(element);
  };
  for (const part of [0, 0.5, 1]) {
    const loss = low + (high - low) * part;
    add("line", { x1: left, x2: right, y1: y(loss), y2: y(loss), class: "axis" });
    add("text", { x: left - 6, y: y(loss) + 4, "text-anchor": "end" }, loss.toFixed(2));
  }
  for (let step = 0; step <= steps; step += Math.ceil(steps / 10)) {
    add("text", { x: x(step), y: bottom + 18, "text-anchor": "middle" }, step);
  }
  if (chosen !== null) add("line", { x1: x(chosen), x2: x(chosen), y1: top, y2: bottom, class: "chosen" });
  for (const [key, name] of [["support_loss", "support"], ["held_out_loss", "held"]]) {
    const known = points.filter((point) => point[key] !== null);
    add("polyline", { points: known.map((p) => `${x(p.step)},${y(p[key])}`).join(" "), class: name });
    for (const point of known) add("circle", { cx: x(point.step), cy: y(point[key]), r: 2.5, class: `${name}-dot` });
  }
  $("points").replaceChildren(...points.map((point) => row(point.step, number(point.support_loss),
    number(point.held_out_loss))));
}

function row(...cells) {
  const made = document.createElement("tr");
  for (const cell of cells) made.insertCell().textContent = cell;
  return made;
}

// The conversation

function bubble(side, who) {
  const item = document.createElement("li");
  item.className = who;
  const speaker = document.createElement("span");
  speaker.className = "visually-hidden";
  speaker.textContent = `${say(who === "user" ? "you" : "model_says")}: `;
  const text = document.createElement("span");
  item.append(speaker, text);
  $(side).append(item);
  return text;
}

async function talk() {
  const line = $("line").value.trim();
  if (!line) throw new Error(say("say_something"));
  $("line").value = "";
  const sides = ["before"];
  if (state.adaptation && state.adaptation.status === "finished") sides.push("after");
  const outcomes = await Promise.allSettled(sides.map((side) => reply(side, line)));
  const failed = outcomes.find((outcome) => outcome.status === "rejected");
  if (failed) throw failed.reason;
}

async function reply(side, line) {
  const conversation = state.talk;
  const turns = state.turns[side];
  turns.push(line);
  bubble(side, "user").textContent = line;
  const request = { ...asked(side), context: [...turns], generation: generation(), seed: turns.length, stream: true };
  const text = bubble(side, "bot");
  let said = "";
  for await (const [name, data] of events(await ask("/v1/replies", request))) {
    if (conversation !== state.talk) return;
    if (name === "error") throw new Error(data.error);
    if (name === "token") said += data.text;
    text.textContent = name === "end" && !said.trim() ? say("no_words") : said;
    $(side).scrollTop = $(side).scrollHeight;
  }
  turns.push(said);
}

function asked(side) {
  return side === "after" ? { adaptation: state.adaptation.id } : { model: $("model").value };
}

function generation() {
  const temperature = Number($("temperature").value);
  return temperature > 0 ? { name: "sampling", temperature } : { name: "greedy" };
}

async function* events(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  let ended = false;
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) break;
      rest += value;
      const blocks = rest.split("\n\n");
      rest = blocks.pop();
      for (const block of blocks) {
        if (block.startsWith(":")) continue; // there is nothing new
        const [name, data] = block.split("\n").map((part) => part.slice(part.indexOf(": ") + 2));
        ended = name === "end" || name === "error";
        yield [name, JSON.parse(data)];
      }
    }
  } finally {
    reader.cancel().catch(() => {});
  }
  if (!ended) throw new Error(say("broken_off"));
}

function restart() {
  state.talk += 1;
  state.turns = { before: [], after: [] };
  $("before").replaceChildren();
  $("after").replaceChildren();
}

// The comparison

async function compare() {
  const context = $("context").value.trim();
  if (!context) throw new Error(say("say_something"));
  const boxes = [...document.querySelectorAll("#compare-models input:checked")];
  if (!boxes.length) throw new Error(say("choose_some"));
  const rows = await Promise.all(boxes.map(async (box) => {
    const [kind, id] = [box.value.slice(0, box.value.indexOf(":")), box.value.slice(box.value.indexOf(":") + 1)];
    const found = await (await ask("/v1/replies", { [kind]: id, context, generation: generation() })).json();
    const [best] = found.replies;
    return row(box.parentElement.textContent, best.text.trim() ? best.text : say("no_words"), number(best.score));
  }));
  $("compared").tBodies[0].replaceChildren(...rows);
  $("compared").hidden = false;
}

// The beginning

function remember(key, value) {
  try {
    localStorage.setItem(`metadialog.${key}`, value);
  } catch { /* a browser that keeps nothing */ }
}

function remembered(key) {
  try {
    return localStorage.getItem(`metadialog.${key}`);
  } catch {
    return null;
  }
}

function begin() {
  state.language = remembered("language") || (navigator.language.startsWith("zh") ? "zh" : "en");
  $("language").value = state.language;
  $("colours").value = remembered("colours") || "";
  document.documentElement.dataset.colours = $("colours").value;
  $("language").addEventListener("change", () => {
    state.language = $("language").value;
    remember("language", state.language);
    translate();
    if (state.adaptation && state.adaptation.status !== "finished") showAdaptation(state.adaptation);
  });
  $("colours").addEventListener("change", () => {
    document.documentElement.dataset.colours = $("colours").value;
    remember("colours", $("colours").value);
  });
  addEventListener("resize", () => {
    const adaptation = state.adaptation;
    if (adaptation && adaptation.curve.length) draw(adaptation.curve, adaptation.step);
  });
  $("token").addEventListener("change", () => guarded("adapt-error", loadModels));
  $("model").addEventListener("change", () => {
    showModel();
    restart();
  });
  $("file").addEventListener("change", () => guarded("adapt-error", async () => {
    const [file] = $("file").files;
    if (!file) return;
    if (state.limits && file.size > state.limits.upload_mib * 2 ** 20) {
      $("file").value = "";
      throw new Error(say("too_large", { limit: state.limits.upload_mib }));
    }
    $("dialogues").value = await file.text();
  }));
  const on = (form, place, action) => $(form).addEventListener("submit", (event) => {
    event.preventDefault();
    guarded(place, action);
  });
  on("adapt", "adapt-error", adapt);
  on("say", "chat-error", talk);
  on("compare", "compare-error", compare);
  $("cancel").addEventListener("click", () => guarded("adapt-error", forget));
  $("forget").addEventListener("click", () => guarded("adapt-error", forget));
  $("download").addEventListener("click", () => guarded("adapt-error", download));
  $("restart").addEventListener("click", () => {
    restart();
    $("line").focus();
  });
  translate();
  guarded("adapt-error", loadModels);
}

begin();
