// The timeline: a Gantt chart of task runs on a canvas, grouped by task or one row for each.
// Only what is visible is drawn, so five thousand tasks cost no more than fifty.

import { duration } from "./format.js";
import { OVER } from "./tasks.js";

const LABELS = 176; // px, the column of names
const AXIS = 22;
const GROUP_TOP = 8;
const LANE = 4; // height of a bar among others of its group
const MOST_LANES = 16;
const LEAST_GROUP = 44;
const SINGLE = 27; // a group of one
const ROW = 20; // a task in the list of all
const LEAST_BAR = 3;
const MOST_BOX = 340;
const KINDS = ["completed", "running", "failed", "cancelled", "waiting"];

export class Timeline {
  constructor(root, tasks, onPick) {
    this.root = root;
    this.tasks = tasks;
    this.onPick = onPick;
    this.mode = "grouped";
    this.run = null;
    this.rows = [];
    this.hits = [];
    this.box = root.querySelector("#run-canvas-box");
    this.space = root.querySelector("#run-canvas-space");
    this.canvas = root.querySelector("#run-canvas");
    this.tip = root.querySelector("#run-tip");
    this.colours = this.readColours();
    this.listen();
  }

  listen() {
    for (const button of this.root.querySelectorAll(".run-switch")) {
      button.addEventListener("click", () => this.show(button.dataset.mode));
    }
    this.box.addEventListener("scroll", () => this.draw());
    this.box.addEventListener("mousemove", (event) => this.hover(event));
    this.box.addEventListener("mouseleave", () => (this.tip.hidden = true));
    this.box.addEventListener("click", (event) => this.pick(event));
    new ResizeObserver(() => this.draw()).observe(this.box);
    const repaint = () => {
      this.colours = this.readColours();
      this.draw();
    };
    new MutationObserver(repaint).observe(document.documentElement, { attributeFilter: ["data-theme"] });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", repaint);
  }

  readColours() {
    const style = getComputedStyle(this.root);
    const names = [...KINDS, "text", "quiet", "line", "now"];
    return Object.fromEntries(names.map((name) => [name, style.getPropertyValue(`--run-${name}`).trim()]));
  }

  show(mode) {
    this.mode = mode;
    for (const button of this.root.querySelectorAll(".run-switch")) {
      button.ariaPressed = String(button.dataset.mode === mode);
    }
    this.layOut();
    this.draw();
  }

  /** The run or its tasks have changed. `clockSkew`: ms that the server's clock is ahead. */
  update(run, clockSkew) {
    this.run = run;
    this.clockSkew = clockSkew;
    this.layOut();
    this.summarise();
    this.draw();
    this.animate();
  }

  /** While something runs, bars and the line of now grow with time. */
  animate() {
    if (this.animating || this.run.is_over || !this.run.start) return;
    this.animating = true;
    requestAnimationFrame(() => {
      setTimeout(() => {
        this.animating = false;
        this.draw();
        this.animate();
      }, 100);
    });
  }

  now() {
    return this.run.end ?? Date.now() + this.clockSkew;
  }

  // Layout: rows with their place and, in groups, a lane for each task

  layOut() {
    const groups = this.tasks.groups();
    const rows = this.mode === "all" ? this.tasks.inOrder().map(taskRow) : groups.map((group) => this.groupRow(group));
    let top = 0;
    for (const row of rows) {
      row.top = top;
      top += row.height;
    }
    this.rows = rows;
    this.space.style.height = `${top + AXIS}px`;
    this.box.style.height = `${Math.min(Math.max(top + AXIS + 8, 120), MOST_BOX)}px`;
    this.box.hidden = rows.length === 0;
    this.root.querySelector("#run-no-tasks").hidden = rows.length > 0;
  }

  groupRow(group) {
    if (group.tasks.length === 1) return { ...taskRow(group.tasks[0]), name: named(group.name, group.tasks), height: SINGLE };
    const lanes = packLanes(group.tasks, this.now());
    const height = Math.max(LEAST_GROUP, lanes * LANE + 2 * GROUP_TOP);
    return { name: named(`${group.name} ×${group.tasks.length}`, group.tasks), pick: group.name, tasks: group.tasks, lanes, height, counts: this.tasks.counts(group.tasks) };
  }

  // Drawing

  draw() {
    if (!this.run || !this.rows.length) return;
    const width = this.box.clientWidth;
    const height = this.box.clientHeight;
    const scale = devicePixelRatio || 1;
    if (this.canvas.width !== width * scale || this.canvas.height !== height * scale) {
      this.canvas.width = width * scale;
      this.canvas.height = height * scale;
      this.canvas.style.width = `${width}px`;
      this.canvas.style.height = `${height}px`;
    }
    const pen = this.canvas.getContext("2d");
    pen.setTransform(scale, 0, 0, scale, 0, 0);
    pen.clearRect(0, 0, width, height);
    this.font = this.font ?? getComputedStyle(this.box).fontFamily;
    this.span = this.spanOfTime(width);
    this.hits = [];
    this.drawAxis(pen, width, height);
    pen.save();
    pen.beginPath();
    pen.rect(0, AXIS, width, height - AXIS);
    pen.clip();
    const scrolled = this.box.scrollTop;
    for (const row of this.rows) {
      const top = row.top - scrolled + AXIS;
      if (top + row.height >= AXIS && top <= height) this.drawRow(pen, row, top, width);
    }
    pen.restore();
    this.drawNow(pen, height);
  }

  spanOfTime(width) {
    const starts = this.rows.flatMap((row) => row.tasks.map((task) => task.start ?? Infinity));
    const first = Math.min(this.run.start ?? Infinity, starts.reduce((a, b) => Math.min(a, b), Infinity));
    const from = Number.isFinite(first) ? first : this.now();
    const length = Math.max(this.now() - from, 100) * 1.04;
    return { from, length, perMs: (width - LABELS - 12) / length };
  }

  x(time) {
    return LABELS + (time - this.span.from) * this.span.perMs;
  }

  drawAxis(pen, width, height) {
    const step = niceStep((this.span.length / (width - LABELS)) * 90);
    pen.font = `11px ${this.font}`;
    pen.textBaseline = "middle";
    for (let offset = 0; offset <= this.span.length; offset += step) {
      const x = Math.round(this.x(this.span.from + offset)) + 0.5;
      pen.fillStyle = this.colours.line;
      pen.fillRect(x, AXIS, 1, height);
      const label = `+${offset ? axisLabel(offset) : "0s"}`;
      if (x + 4 + pen.measureText(label).width < width) {
        pen.fillStyle = this.colours.quiet;
        pen.fillText(label, x + 3, AXIS / 2);
      }
    }
  }

  drawRow(pen, row, top, width) {
    pen.fillStyle = this.colours.line;
    pen.fillRect(0, Math.round(top + row.height) - 1, width, 1);
    this.drawLabel(pen, row, top);
    this.hits.push({ left: 0, right: LABELS - 8, top, bottom: top + row.height, row });
    const thick = row.lanes === 1 ? Math.min(12, row.height - 8) : LANE - 1.5;
    for (const task of row.tasks) {
      if (!task.start) continue;
      const lane = row.lanes === 1 ? (row.height - thick) / 2 : GROUP_TOP + (task.lane % row.lanes) * LANE;
      this.drawBar(pen, task, top + lane, thick);
    }
  }

  drawBar(pen, task, y, thick) {
    const left = this.x(task.start);
    const end = task.end ?? (OVER.has(task.type) ? task.start : this.now());
    const right = Math.max(left + LEAST_BAR, this.x(end));
    pen.fillStyle = this.colours[task.kind];
    pen.fillRect(left, y, right - left, thick);
    this.hits.push({ left: left - 1, right: right + 1, top: y - 1, bottom: y + thick + 1, task });
  }

  drawLabel(pen, row, top) {
    const middle = row.counts ? top + 13 : top + row.height / 2;
    pen.font = `${this.mode === "all" ? "" : "600 "}12px ${this.font}`;
    pen.fillStyle = this.colours.text;
    pen.fillText(fitted(pen, row.name, LABELS - 20), 9, middle);
    if (!row.counts) return;
    let x = 9;
    for (const kind of KINDS) {
      const wide = (row.counts[kind] / row.tasks.length) * 120;
      pen.fillStyle = this.colours[kind];
      pen.fillRect(x, top + 22, wide, 4);
      x += wide;
    }
    const { completed, running, failed } = row.counts;
    pen.font = `10.5px ${this.font}`;
    pen.fillStyle = this.colours.quiet;
    pen.fillText(`${completed} ok · ${running} run · ${failed} fail`, 9, top + 35);
  }

  drawNow(pen, height) {
    if (this.run.is_over || !this.run.start) return;
    pen.fillStyle = this.colours.now;
    pen.fillRect(Math.round(this.x(this.now())), AXIS, 1.5, height);
  }

  // Pointer

  at(event) {
    const { left, top } = this.canvas.getBoundingClientRect();
    const x = event.clientX - left;
    const y = event.clientY - top;
    return this.hits.findLast((hit) => x >= hit.left && x <= hit.right && y >= hit.top && y <= hit.bottom);
  }

  hover(event) {
    const task = this.at(event)?.task;
    this.box.classList.toggle("is-over-something", Boolean(this.at(event)));
    this.tip.hidden = !task;
    if (!task) return;
    const took = task.start ? duration((task.end ?? this.now()) - task.start) : "";
    const tries = task.tries > 1 ? `, try ${task.tries}` : "";
    this.tip.textContent = `${task.name}: ${task.state} ${took}${tries}${task.message ? `\n${task.message}` : ""}`;
    this.tip.style.left = `${Math.min(event.clientX + 12, innerWidth - this.tip.offsetWidth - 8)}px`;
    this.tip.style.top = `${event.clientY + 14}px`;
  }

  pick(event) {
    const hit = this.at(event);
    if (hit) this.onPick(hit.task?.name ?? hit.row.pick ?? hit.row.tasks[0].name);
  }

  // The same in words: counts above, a bar of all tasks, and a table for those who cannot see the canvas

  summarise() {
    const counts = this.tasks.counts();
    const said = Object.entries(counts).filter(([, count]) => count).map(([kind, count]) => `${count} ${kind}`);
    this.root.querySelector("#run-counts").textContent = this.tasks.size ? `${this.tasks.size} tasks: ${said.join(", ")}` : "";
    this.root.querySelector("[data-mode=all]").textContent = `all ${this.tasks.size || ""}`.trim();
    const progress = this.root.querySelector("#run-progress");
    progress.replaceChildren(...KINDS.filter((kind) => counts[kind]).map((kind) => part(kind, counts[kind])));
    const body = this.root.querySelector("#run-tasks tbody");
    body.replaceChildren(...this.tasks.groups().map((group) => this.tableRow(group)));
  }

  tableRow(group) {
    const { completed, running, failed } = this.tasks.counts(group.tasks);
    const row = document.createElement("tr");
    for (const text of [group.name, group.tasks.length, completed, running, failed]) {
      row.insertCell().textContent = text;
    }
    return row;
  }
}

/** A label that tells of repeated tries: `open_source ↻1`. */
function named(name, tasks) {
  const repeated = tasks.reduce((sum, task) => sum + Math.max(0, task.tries - 1), 0);
  return repeated ? `${name} ↻${repeated}` : name;
}

function taskRow(task) {
  return { name: named(task.name, [task]), tasks: [task], lanes: 1, height: ROW };
}

function part(kind, count) {
  const element = document.createElement("span");
  element.className = `run-part is-${kind}`;
  element.style.flexGrow = count;
  return element;
}

/** Give each task the first lane that is free when it begins; how many lanes that takes, at most MOST_LANES. */
function packLanes(tasks, now) {
  const ends = [];
  for (const task of tasks) {
    if (!task.start) continue;
    const free = ends.findIndex((end) => end <= task.start);
    task.lane = free >= 0 ? free : ends.length < MOST_LANES ? ends.length : ends.indexOf(Math.min(...ends));
    ends[task.lane] = task.end ?? now;
  }
  return Math.max(2, ends.length);
}

/** The next of 1, 2, 5, 10, 20, 50 ... ms (from seconds on: also 15 and 30 of a minute) above `least`. */
function niceStep(least) {
  const steps = [10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 10e3, 15e3, 30e3, 60e3, 120e3, 300e3, 600e3, 900e3, 1800e3, 3600e3];
  return steps.find((step) => step >= least) ?? Math.ceil(least / 3600e3) * 3600e3;
}

/** An offset on the axis, without decimals that say nothing. */
function axisLabel(milliseconds) {
  if (milliseconds < 1000) return `${milliseconds}ms`;
  return milliseconds < 60e3 ? `${milliseconds / 1000}s` : duration(milliseconds).replace(/ 0[sm]$/, "");
}

/** `text`, cut with an ellipsis to `width` px. */
function fitted(pen, text, width) {
  if (pen.measureText(text).width <= width) return text;
  let cut = text.length;
  while (cut > 1 && pen.measureText(`${text.slice(0, cut)}…`).width > width) cut -= 1;
  return `${text.slice(0, cut)}…`;
}
