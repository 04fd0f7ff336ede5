// The docked log: every line in memory, only the visible ones in the page.

import { clock } from "./format.js";

const ROW = 18; // px; equals the line height in run.css
const SPARE = 10; // rows drawn above and below what is visible
const MOST_LINES = 50_000;
const LEVELS = [[50, "CRITICAL"], [40, "ERROR"], [30, "WARN"], [20, "INFO"], [0, "DEBUG"]];

export class LogView {
  constructor(root, tasks) {
    this.tasks = tasks;
    this.lines = [];
    this.seen = new Set();
    this.rows = [];
    this.earlier = false;
    this.following = true;
    this.byHand = false; // whether the reader moved the log, rather than we
    this.box = root.querySelector("#run-log-box");
    this.space = root.querySelector("#run-log-space");
    this.place = root.querySelector("#run-log-rows");
    this.count = root.querySelector("#run-log-count");
    this.text = root.querySelector("#run-log-text");
    this.level = root.querySelector("#run-log-level");
    this.task = root.querySelector("#run-log-task");
    this.live = root.querySelector("#run-log-live");
    for (const filter of [this.text, this.level, this.task]) filter.addEventListener("input", () => this.refilter());
    this.live.addEventListener("click", () => this.follow(!this.following));
    this.box.addEventListener("scroll", () => this.onScroll());
    for (const kind of ["wheel", "touchmove", "keydown", "pointerdown"]) {
      this.box.addEventListener(kind, () => (this.byHand = true), { passive: true });
    }
    new ResizeObserver(() => this.draw()).observe(this.box);
  }

  /** Add lines as `changes` sends them; some may have come before. */
  add(lines, earlier) {
    this.earlier ||= earlier;
    const fresh = lines.filter(([id]) => !this.seen.has(id));
    for (const [id, time, level, taskId, message] of fresh) {
      this.seen.add(id);
      this.lines.push({ id, time, level, taskId, message });
    }
    if (fresh.length) {
      this.lines.sort((a, b) => a.time - b.time || (a.id < b.id ? -1 : 1));
      for (const line of this.lines.splice(0, this.lines.length - MOST_LINES)) this.earlier = Boolean(line);
    }
    if (fresh.length || !this.count.textContent) this.refilter();
  }

  /** Show the lines of this task alone; of all tasks if it is shown alone already. */
  showTask(name) {
    this.task.value = this.task.value === name ? "" : name;
    this.refilter();
  }

  refilter() {
    const text = this.text.value.toLowerCase();
    const task = this.task.value.toLowerCase();
    const level = Number(this.level.value);
    const matches = (line) =>
      line.level >= level &&
      (!text || line.message.toLowerCase().includes(text)) &&
      (!task || this.tasks.nameOf(line.taskId).toLowerCase().includes(task));
    const shown = this.lines.filter(matches);
    this.rows = shown.flatMap((line) =>
      line.message.split("\n").map((part, index) => ({ line, part, isFirst: index === 0 })),
    );
    const total = this.earlier ? `newest ${this.lines.length}` : `${this.lines.length}`;
    const unit = this.lines.length === 1 ? "line" : "lines";
    this.count.textContent = shown.length === this.lines.length ? `${total} ${unit}` : `${shown.length} of ${total} ${unit}`;
    this.draw();
  }

  follow(on) {
    this.following = on;
    this.byHand = false;
    this.live.ariaPressed = String(on);
    this.draw();
  }

  /** Scrolling up by hand stops following; reaching the end takes it up again. */
  onScroll() {
    const atEnd = this.box.scrollTop + this.box.clientHeight >= this.space.offsetHeight - ROW;
    if (atEnd) this.byHand = false;
    if (atEnd ? !this.following : this.following && this.byHand) this.follow(atEnd);
    this.draw();
  }

  draw() {
    this.space.style.height = this.rows.length ? `${this.rows.length * ROW}px` : "auto";
    const bottom = Math.max(0, this.space.offsetHeight - this.box.clientHeight);
    if (this.following && !this.byHand) this.box.scrollTop = bottom;
    const first = Math.max(0, Math.floor(this.box.scrollTop / ROW) - SPARE);
    const last = Math.ceil((this.box.scrollTop + this.box.clientHeight) / ROW) + SPARE;
    this.place.style.transform = `translateY(${first * ROW}px)`;
    this.place.replaceChildren(...this.rows.slice(first, last).map((row) => this.element(row)));
  }

  element({ line, part, isFirst }) {
    const level = LEVELS.find(([least]) => line.level >= least)[1];
    const row = document.createElement("div");
    row.className = `log-row log-${level.toLowerCase()}`;
    const cells = isFirst ? [clock(line.time), level, this.tasks.nameOf(line.taskId), part] : ["", "", "", part];
    for (const [index, text] of cells.entries()) {
      const cell = document.createElement("span");
      cell.className = ["log-time", "log-level", "log-task", "log-text"][index];
      cell.textContent = text;
      row.append(cell);
    }
    return row;
  }
}
