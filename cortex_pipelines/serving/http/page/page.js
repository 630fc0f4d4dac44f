"use strict";

const WAYS = {
  base: "Base",
  context: "Base with similar code",
  adapter: "Adapter",
  both: "Adapter with similar code",
  rules: "Keyword rules, if there are any",
  model: "Trained router",
};
const POLL_MS = 2000;
const RELOAD_MS = 30000;
const POINTS = 60;
const LONGEST_COMPARED = 1500; // words; beyond that a comparison would hold up typing

const $ = (id) => document.getElementById(id);

/** An element with properties and children; text is never read as markup. */
function make(name, properties = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (key.includes("-")) made.setAttribute(key, value);
    else made[key] = value;
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

function say(problem) {
  $("problem").textContent = problem;
  $("problem").hidden = !problem;
}

async function request(path, body, signal) {
  const how = body === undefined ? {} : {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  };
  const answer = await fetch(path, { ...how, signal });
  if (!answer.ok) {
    const told = await answer.json().catch(() => null);
    throw new Error(told?.error?.message ?? `${path}: ${answer.status}`);
  }
  return answer;
}

const percent = (value) => `${(100 * value).toFixed(1)} %`;
const short = (version) => (version.length > 16 ? `${version.slice(0, 12)}…` : version);

// ---- models -------------------------------------------------------------

let overview = { models: [] };
let shown = "";

async function readOverview() {
  const text = await (await request("/overview")).text();
  if (text === shown) return;
  shown = text;
  overview = JSON.parse(text);
  $("about").textContent = `${overview.version} · base ${overview.base}`;
  $("base-note").textContent = overview.base_note ?? "";
  $("tokens").max = overview.most_tokens;
  const cards = overview.models.map(modelCard);
  if (overview.router) cards.push(routerCard(overview.router));
  $("models").replaceChildren(...cards);
  fillChoice();
  fillProjects();
}

function chips(given, plan, number) {
  const roles = given.filter((role) => role !== "challenger" || !given.includes("champion"));
  const names = roles.map((role) =>
    role === "canary" && plan?.share ? `canary, ${percent(plan.share)} of requests` : role);
  return [number ? make("span", { className: "chip" }, number) : null,
    ...names.map((name, at) => make("span", { className: `chip ${roles[at]}` }, name))];
}

function verdictLine(verdict, reason, name = "Gate") {
  return verdict ? make("p", {}, make("strong", {}, `${name}: ${verdict}`), reason ? `, ${reason}` : "") : null;
}

function trialLine(trial) {
  const shown = Object.entries(trial).map(([name, count]) =>
    `${name} ${count.answered}, ${count.failed} failed`);
  return shown.length ? make("p", {}, `Answers in the trial: ${shown.join("; ")}`) : null;
}

function experimentLine(shown) {
  const sides = Object.entries(shown.arms).map(([arm, side]) =>
    `${arm} (${shown[arm]}) ${side.good} of ${side.answers}`);
  const { low, high } = shown.difference;
  return make("p", {}, `Experiment ${shown.id}, answers ${shown.metric}: ${sides.join("; ")}; `
    + `b less a ${percent(low)} to ${percent(high)}`);
}

function modelCard(model) {
  const bits = Object.entries(model.bits_per_byte ?? {});
  return make("article", { className: "card" },
    make("h3", {}, model.name, ...chips(model.roles ?? [], model.plan, model.number)),
    make("p", {}, `Answered by: ${WAYS[model.way].toLowerCase()}` +
      (model.project && !model.verdict && model.way === "base" ? "; it has no adapter yet" : "")),
    versions(model.version, model.release),
    verdictLine(model.verdict, model.reason, (model.roles ?? []).length ? "Gate" : "Gate on the challenger"),
    model.notice ? make("p", {}, model.notice) : null,
    trialLine(model.trial ?? {}),
    model.experiment ? experimentLine(model.experiment) : null,
    bits.length ? bitsTable(bits, model.way) : null,
    scoreTable(model.scores ?? []));
}

function routerCard(router) {
  const roles = Object.entries(router.roles ?? {})
    .filter(([, version]) => version && version === router.version).map(([role]) => role);
  return make("article", { className: "card" },
    make("h3", {}, "task_router", ...chips(roles, router.plan, router.number)),
    make("p", {}, `Decided by: ${WAYS[router.way].toLowerCase()}`),
    versions(router.version),
    verdictLine(router.verdict, router.reason),
    router.notice ? make("p", {}, router.notice) : null,
    router.roles?.canary && router.roles.canary !== router.version
      ? make("p", { className: "version" }, `Canary: ${router.roles.canary}`) : null,
    scoreTable(router.scores ?? []));
}

function versions(version, release) {
  return make("p", { className: "version" },
    "Version ", make("code", { title: version }, short(version)),
    ...(release ? [" · release ", make("code", { title: release }, short(release))] : []));
}

function bitsTable(bits, way) {
  return make("table", {},
    make("caption", {}, "Bits per byte of held-out completions (fewer are better)"),
    make("tbody", {}, ...bits.map(([name, value]) => make("tr", { className: name === way ? "taken" : "" },
      make("th", { scope: "row" }, WAYS[name]),
      make("td", { className: "number" }, value.toFixed(3))))));
}

function scoreTable(scores) {
  if (!scores.length) return null;
  return make("table", {},
    make("caption", {}, "Evaluation, with 95 % intervals"),
    make("tbody", {}, ...scores.map((score) => make("tr", {},
      make("th", { scope: "row" }, score.label),
      make("td", { className: "number" }, figure(score))))));
}

function figure(score) {
  const share = score.unit === "share";
  const one = (value) => (share ? (100 * value).toFixed(1) : value.toFixed(3));
  const range = score.low === null ? "" : ` [${one(score.low)}, ${one(score.high)}]`;
  return `${one(score.value)}${range}${share ? " %" : ""}`;
}

function fillChoice() {
  const select = $("model");
  const before = select.value;
  select.replaceChildren(...overview.models.map((model) => make("option", { value: model.name }, model.name)));
  const names = overview.models.map((model) => model.name);
  const adapted = overview.models.find((model) => "adapter" in model.ways);
  const usual = overview.default !== "base" ? overview.default : adapted?.name ?? overview.default;
  select.value = names.includes(before) ? before : usual;
  noteModel();
}

const chosen = () => overview.models.find((model) => model.name === $("model").value);

function noteModel() {
  const model = chosen();
  if (!model) return;
  const names = Object.keys(model.ways).map((way) => WAYS[way].toLowerCase());
  const shown = names.length > 1 ? `Shown beside each other: ${names.join(", ")}. ` : "";
  $("model-note").textContent = `${shown}Requests for ${model.name} are answered by: ${WAYS[model.way].toLowerCase()}.`;
}

// ---- playground -----------------------------------------------------------

let running = null;
let answers = [];

async function play() {
  running?.abort();
  const mine = new AbortController();
  running = mine;
  say("");
  const model = chosen();
  const asked = {
    model: model.name,
    prompt: $("prompt").value,
    suffix: $("suffix").value || undefined,
    max_tokens: Number($("tokens").value),
  };
  const columns = Object.keys(model.ways).map((way) => new Column(way, way === model.way));
  answers = columns;
  $("answers").replaceChildren(...answers.map((answer) => answer.element));
  $("stop").disabled = false;
  try {
    for (const answer of columns) {
      $("play-status").textContent = `${WAYS[answer.way]} is writing …`;
      await answer.read(asked, mine.signal);
      markAll();
    }
    const count = columns.length;
    $("play-status").textContent = count === 1 ? "1 answer." : `${count} answers.`;
  } catch (error) {
    if (error.name !== "AbortError") say(error.message);
    if (running === mine) $("play-status").textContent = "Stopped.";
  } finally {
    if (running === mine) {
      running = null;
      $("stop").disabled = true;
    }
  }
}

class Column {
  constructor(way, released) {
    this.way = way;
    this.text = "";
    this.output = make("pre", { tabIndex: 0, "aria-label": `Answer: ${WAYS[way]}` });
    this.facts = make("p", { className: "note" });
    this.feedback = make("div");
    this.element = make("article", { className: "card" },
      make("h3", {}, WAYS[way], released ? make("span", { className: "chip" }, "as served") : null),
      this.output, this.facts, this.feedback);
    this.element.dataset.way = way;
  }

  async read(asked, signal) {
    const began = performance.now();
    let first = null;
    let last = null;
    const answer = await request("/playground", { ...asked, way: this.way }, signal);
    for await (const chunk of chunks(answer)) {
      if (chunk.error) throw new Error(chunk.error.message);
      const text = chunk.choices[0]?.text ?? "";
      if (text && first === null) first = performance.now();
      this.text += text;
      this.output.append(text);
      last = chunk;
    }
    const seconds = (performance.now() - began) / 1000;
    this.finish(answer.headers, last, first === null ? seconds : (first - began) / 1000, seconds);
  }

  finish(headers, last, first, seconds) {
    const tokens = last.usage.completion_tokens;
    const speed = tokens > 1 && seconds > first ? `${((tokens - 1) / (seconds - first)).toFixed(1)} tokens/s · ` : "";
    const version = headers.get("x-cortex-version");
    this.facts.replaceChildren(
      `first token ${first.toFixed(2)} s · ${speed}${tokens} tokens in ${seconds.toFixed(2)} s`,
      make("br"), "version ", make("code", { title: version }, short(version)),
      ...(headers.get("x-cortex-cut") ? [make("br"), `cut: ${headers.get("x-cortex-cut")}`] : []),
      ...(headers.get("x-cortex-notice") ? [make("br"), headers.get("x-cortex-notice")] : []));
    this.feedback.replaceChildren(feedback({ completion_id: last.id, version }, "the answer", this.text));
  }
}

/** The objects of a stream of server-sent events, without the end mark. */
async function* chunks(answer) {
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const lines = (rest + value).split("\n");
    rest = lines.pop();
    for (const line of lines) {
      if (line.startsWith("data: {")) yield JSON.parse(line.slice(6));
    }
  }
}

function markAll() {
  const base = answers.find((answer) => answer.way === "base");
  for (const answer of answers) {
    const compared = $("mark").checked && base && answer !== base && base.text && answer.text;
    answer.output.replaceChildren(...(compared ? marked(base.text, answer.text) : [answer.text]));
  }
}

const words = (text) => text.match(/\w+|\s+|[^\w\s]/gu) ?? [];

/** The second text; what the longest common subsequence of words lacks is marked. */
function marked(before, after) {
  const [old, now] = [words(before), words(after)];
  if (old.length > LONGEST_COMPARED || now.length > LONGEST_COMPARED) return [after];
  const width = now.length + 1;
  const common = new Uint16Array((old.length + 1) * width);
  for (let i = old.length - 1; i >= 0; i--) {
    for (let j = now.length - 1; j >= 0; j--) {
      common[i * width + j] = old[i] === now[j]
        ? common[(i + 1) * width + j + 1] + 1
        : Math.max(common[(i + 1) * width + j], common[i * width + j + 1]);
    }
  }
  const parts = [];
  let i = 0;
  for (let j = 0; j < now.length; j++) {
    while (i < old.length && old[i] !== now[j] && common[(i + 1) * width + j] >= common[i * width + j + 1]) i++;
    const same = i < old.length && old[i] === now[j];
    const last = parts[parts.length - 1];
    if (last && last.same === same) last.text += now[j];
    else parts.push({ same, text: now[j] });
    if (same) i++;
  }
  return parts.map((part) => (part.same ? part.text : make("mark", {}, part.text)));
}

// ---- feedback -----------------------------------------------------------

function feedback(about, name, text) {
  const status = make("span", { className: "note" });
  status.setAttribute("role", "status");
  const send = async (vote, correction) => {
    try {
      const answer = await (await request("/feedback", { ...about, vote, correction })).json();
      status.textContent = answer.redacted
        ? `Thank you; ${answer.redacted} private values were taken out.` : "Thank you.";
      return true;
    } catch (error) {
      status.textContent = error.message;
      return false;
    }
  };
  const good = make("button", { type: "button", "aria-pressed": "false", "aria-label": `Good: ${name}` }, "Good");
  const bad = make("button", { type: "button", "aria-pressed": "false", "aria-label": `Bad: ${name}` }, "Bad");
  const press = (pressed) => {
    for (const button of [good, bad]) button.setAttribute("aria-pressed", String(button === pressed));
  };
  const typed = make("textarea", { rows: 4, value: text ?? "", spellcheck: false });
  const correct = make("form", { hidden: true },
    make("label", {}, "What would have been right (optional; kept without secrets)", typed),
    make("button", { type: "submit" }, "Send"));
  good.addEventListener("click", async () => {
    correct.hidden = true;
    if (await send("up")) press(good);
  });
  bad.addEventListener("click", async () => {
    if (!await send("down")) return;
    press(bad);
    correct.hidden = false;
    typed.focus();
  });
  correct.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (!typed.value.trim() || typed.value === (text ?? "")) status.textContent = "Nothing was changed yet.";
    else if (await send("down", typed.value)) correct.hidden = true;
  });
  submitOnCtrlEnter(typed, correct);
  return make("div", {}, make("div", { className: "buttons" }, good, bad, status), correct);
}

function submitOnCtrlEnter(field, form) {
  field.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      form.requestSubmit();
    }
  });
}

// ---- routing ------------------------------------------------------------

// crypto.randomUUID is only there over https or on this machine
const newId = () => `page-${[...crypto.getRandomValues(new Uint8Array(12))]
  .map((byte) => byte.toString(16).padStart(2, "0")).join("")}`;

async function route() {
  say("");
  try {
    const answer = await request("/route", { task: $("task").value, task_id: newId() });
    $("decision").replaceChildren(decisionCard(await answer.json(), answer.headers));
  } catch (error) {
    $("decision").replaceChildren();
    say(error.message);
  }
}

function decisionCard(decision, headers) {
  const others = [{ master: decision.master, probability: decision.confidence }, ...decision.alternatives]
    .filter((one) => one.master);
  const where = decision.abstained ? "A person should decide" : decision.master;
  const notice = headers.get("x-cortex-notice");
  const about = { task_id: decision.task_id, version: decision.version };
  if (decision.master) about.master = decision.master;
  return make("article", { className: "card" },
    make("h3", {}, where, make("span", { className: "chip" }, `decided by: ${decision.decided_by}`)),
    decision.abstained && decision.master
      ? make("p", {}, `The nearest would be ${decision.master}` + likeness(decision)) : null,
    make("p", {}, "Version ", make("code", { title: decision.version }, short(decision.version))),
    notice ? make("p", {}, notice) : null,
    make("table", {},
      make("caption", {}, "Masters by probability"),
      make("tbody", {}, ...others.map((one, at) => make("tr", { className: at ? "" : "taken" },
        make("th", { scope: "row" }, one.master),
        make("td", {}, make("meter", { min: 0, max: 1, value: one.probability, "aria-label": one.master })),
        make("td", { className: "number" }, percent(one.probability)))))),
    decision.evidence.length ? evidenceTable(decision.evidence) : null,
    feedback(about, "the decision"));
}

// keyword rules know no tasks
const likeness = ({ tier, in_scope: share }) =>
  (tier === "rules" ? "." : `; the task is like known ones by ${percent(share)}.`);

function evidenceTable(evidence) {
  const every = new Set(["text", ...evidence.flatMap((row) => Object.keys(row))]);
  const names = [...every].filter((name) => evidence.some((row) => name in row));
  const cell = (value) => (typeof value === "number" ? value.toFixed(2) : Array.isArray(value) ? value.join(", ") : String(value ?? ""));
  return make("table", {},
    make("caption", {}, "Evidence"),
    make("thead", {}, make("tr", {}, ...names.map((name) => make("th", { scope: "col" }, name.replaceAll("_", " "))))),
    make("tbody", {}, ...evidence.map((row) =>
      make("tr", {}, ...names.map((name) => make("td", {}, cell(row[name])))))));
}

// ---- chat ---------------------------------------------------------------

let talk = [];
let talking = null; // while an answer is written, the next message waits

async function chat() {
  if (talking) return;
  const mine = new AbortController();
  talking = mine;
  $("send").disabled = true;
  say("");
  const typed = $("message").value;
  const heard = make("pre");
  const facts = make("p", { className: "note" });
  $("talk").append(
    make("article", { className: "card you" }, make("pre", {}, typed)),
    make("article", { className: "card" }, heard, facts));
  $("message").value = "";
  const messages = [...talk, { role: "user", content: typed }];
  const asked = { model: $("model").value, messages, max_tokens: Number($("tokens").value) * 4, stream: true };
  asked.max_tokens = Math.min(asked.max_tokens, overview.most_tokens);
  try {
    const answer = await request("/v1/chat/completions", asked, mine.signal);
    for await (const chunk of chunks(answer)) {
      if (chunk.error) throw new Error(chunk.error.message);
      heard.append(chunk.choices[0]?.delta?.content ?? "");
    }
    facts.textContent = told(answer.headers);
    if (talking === mine) talk = [...messages, { role: "assistant", content: heard.textContent }];
  } catch (error) {
    if (error.name !== "AbortError") say(error.message);
  } finally {
    if (talking === mine) freeChat();
  }
}

function freeChat() {
  talking = null;
  $("send").disabled = false;
}

const told = (headers) => ["model", "way", "notice", "cut"].map((name) => headers.get(`x-cortex-${name}`))
  .filter(Boolean).join(" · ");

// ---- tasks --------------------------------------------------------------

const DETAILS = { naming: "name", refactoring: "request" }; // fields of a question that one task has
const detail = () => DETAILS[$("ask-task").value];
const showDetail = () => Object.values(DETAILS).forEach((field) => {
  $(`ask-${field}-label`).hidden = field !== detail();
});

let asking = 0;
let finding = 0;

async function ask() {
  const mine = ++asking; // a slow answer must not replace a later one
  say("");
  $("told").replaceChildren(make("p", { className: "note" }, "Working on it …"));
  try {
    const answer = await (await request("/predict", {
      model: $("model").value,
      task: $("ask-task").value,
      input: $("ask-code").value,
      context: { language: $("ask-language").value, ...detail() && { [detail()]: $(`ask-${detail()}`).value } },
    })).json();
    if (mine === asking) $("told").replaceChildren(taskCard(answer));
  } catch (error) {
    $("told").replaceChildren();
    say(error.message);
  }
}

function taskCard(answer) {
  const lines = {
    From: answer.source === "model" ? `the model ${answer.model}` : answer.source,
    Checked: answer.checks.join(", "),
    "Likely right": answer.confidence === null ? "" : percent(answer.confidence),
    Why: answer.reason,
    "Or else": answer.alternatives.map((one) => one.result ?? String(one)).join(", "),
    Note: answer.notice,
    Flags: answer.flags.join(", "),
  };
  return make("article", { className: "card" },
    make("h3", {}, answer.result === null ? "No answer that passes its checks" : "Answer"),
    answer.result === null ? null : make("pre", {}, answer.result),
    ...Object.entries(lines).filter(([, text]) => text).map(([name, text]) =>
      make("p", {}, make("strong", {}, `${name}: `), text)),
    make("p", { className: "note" }, `${answer.latency.toFixed(2)} s`));
}

// ---- search -------------------------------------------------------------

async function find() {
  const mine = ++finding;
  say("");
  const what = $("find-what").value;
  const text = $("find-text").value;
  const project = $("find-project").value || undefined;
  $("found").replaceChildren(make("p", { className: "note" }, "Searching …"));
  try {
    const path = what === "search" || what === "context" ? `/${what}` : "/relations";
    const asked = { search: { query: text }, context: { task: text } }[what] ?? { question: what, name: text };
    const answer = await (await request(path, { ...asked, project })).json();
    if (mine !== finding) return;
    const rows = answer.results ?? answer.pieces ?? answer.steps;
    $("found").replaceChildren(
      make("p", {}, answer.summary ?? (rows.length ? "" : "Nothing was found.")),
      answer.notice ? make("p", { className: "note" }, answer.notice) : "",
      ...rows.slice(0, 20).map(placeCard),
      rows.length > 20 ? make("p", { className: "note" }, `and ${rows.length - 20} more`) : "");
  } catch (error) {
    $("found").replaceChildren();
    say(error.message);
  }
}

function placeCard(row) {
  const line = row.lines?.length ? row.lines[0] : row.start_line;
  const why = row.why ?? `${row.relation.replaceAll("_", " ")} ${row.of.split(":").pop()}`;
  const code = row.text;
  return make("article", { className: "card" },
    make("h3", {}, `${row.path}:${typeof line === "number" ? line : row.start_line}`),
    make("p", {}, [row.kind, row.name].filter(Boolean).join(" "), make("br"), why),
    typeof code === "string" && code ? folded(code) : null);
}

/** Code of more lines than a glance takes is folded. */
function folded(code) {
  const lines = code.split("\n").length;
  const shown = make("pre", {}, code);
  return lines > 8 ? make("details", {}, make("summary", {}, `${lines} lines`), shown) : shown;
}

function fillProjects() {
  const names = [...new Set(overview.models.map((model) => model.project).filter(Boolean))];
  const before = $("find-project").value;
  $("find-project").replaceChildren(...names.map((name) => make("option", { value: name }, name)));
  if (names.includes(before)) $("find-project").value = before;
}

// ---- examples -----------------------------------------------------------

const UNIT = {
  naming: "def f(prices, rate):\n    return [price * (1 + rate) for price in prices]\n",
  refactoring: "def sign(number):\n    if number < 0:\n        return -1\n    else:\n        return 1\n",
  documentation: "def load(path, default=None):\n    if not path.exists():\n        return default\n    return path.read_text()\n",
  tests: "def clamp(number, low, high):\n    return max(low, min(number, high))\n",
  review: "def add(item, basket=[]):\n    basket.append(item)\n    return basket\n",
};
const PROMPTS = {
  "a function": "def is_palindrome(text: str) -> bool:\n    ",
  "a test": "def test_addition():\n    assert ",
  "a class": "class Stack:\n    def __init__(self):\n        self.items = []\n\n    def push(self, item):\n        ",
};
const QUESTIONS = ["What does a decorator do in Python?", "Write a function that removes duplicates from a list."];

function examples(id, all) {
  $(id).append(...Object.entries(all).map(([name, press]) => {
    const button = make("button", { type: "button", className: "example" }, name);
    button.addEventListener("click", press);
    return button;
  }));
}

function fill(id, text) {
  $(id).value = text;
  $(id).focus();
}

// ---- load -----------------------------------------------------------------

let last = null;
const speeds = [];

async function readLoad() {
  const now = await (await request("/load")).json();
  const seconds = last ? now.at - last.at : 0;
  const since = (name) => (last ? now[name] - last[name] : 0);
  const mean = (sum, count) => (count > 0 ? `${(sum / count).toFixed(2)} s` : "–");
  const speed = seconds > 0 ? Math.max(0, now.written - last.written) / seconds : 0;
  speeds.push(speed);
  while (speeds.length > POINTS) speeds.shift();
  const rows = {
    Model: now.alive ? (now.busy ? "writing" : "idle") : "not running",
    Waiting: now.waiting,
    "Tokens/s": speed.toFixed(1),
    "Requests/s": seconds > 0 ? (since("requests") / seconds).toFixed(1) : "–",
    Requests: now.requests,
    Errors: now.errors,
    "Mean answer": mean(now.seconds, now.requests),
    "First token": mean(now.first_token_seconds, now.first_tokens),
    "Tasks routed": now.tasks_routed,
    "Adapters loaded": now.resident.length,
    "Answered by the base instead": now.fallbacks,
  };
  $("figures").replaceChildren(...Object.entries(rows).map(([name, value]) =>
    make("div", {}, make("dt", {}, name), make("dd", {}, String(value)))));
  const most = Math.max(1, ...speeds);
  $("curve").firstElementChild.setAttribute("points", speeds.map((value, at) =>
    `${(240 * (at + POINTS - speeds.length)) / (POINTS - 1)},${38 - (36 * value) / most}`).join(" "));
  $("curve-note").textContent = `Tokens per second in the last two minutes, at most ${most.toFixed(0)}.`;
  last = now;
}

/** Call again and again while somebody looks. */
function repeat(call, pause) {
  let failed = false;
  const once = async () => {
    if (!document.hidden) {
      try {
        await call();
        if (failed) say("");
        failed = false;
      } catch (error) {
        failed = true;
        say(`The gateway does not answer (${error.message}).`);
      }
    }
    setTimeout(once, pause);
  };
  once();
}

$("model").addEventListener("change", noteModel);
$("play").addEventListener("submit", (event) => {
  event.preventDefault();
  play();
});
$("mark").addEventListener("change", () => running || markAll());
$("stop").addEventListener("click", () => running?.abort());
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") running?.abort();
});
for (const id of ["prompt", "suffix"]) submitOnCtrlEnter($(id), $("play"));
submitOnCtrlEnter($("message"), $("say"));
submitOnCtrlEnter($("ask-code"), $("ask"));
for (const [id, submit] of Object.entries({ say: chat, ask, find })) {
  $(id).addEventListener("submit", (event) => {
    event.preventDefault();
    submit();
  });
}
$("ask-task").addEventListener("change", showDetail);
$("forget").addEventListener("click", () => {
  talking?.abort();
  freeChat();
  talk = [];
  $("talk").replaceChildren();
});
const each = (all, press) => Object.fromEntries(Object.entries(all).map(([name, text]) => [name, () => press(text, name)]));
examples("prompt-examples", each(PROMPTS, (text) => fill("prompt", text)));
examples("chat-examples", each(Object.fromEntries(QUESTIONS.map((text) => [text, text])), (text) => fill("message", text)));
examples("task-examples", each(UNIT, (text, name) => {
  $("ask-task").value = name;
  $("ask-language").value = "python";
  $("ask-name").value = "f";
  showDetail();
  fill("ask-code", text);
}));
$("route").addEventListener("submit", (event) => {
  event.preventDefault();
  route();
});
repeat(readOverview, RELOAD_MS);
repeat(readLoad, POLL_MS);
