// The docked log: the newest lines and what older ones were asked for in memory, only the visible in the page.

import { clock } from "./format.js";

const ROW = 18; // px; equals the line height in run.css
const SPARE = 10; // rows drawn above and below what is visible
const MOST_LINES = 250_000;
const ENOUGH = 2_000; // hits; more come when they are asked for
const TYPING = 250; // ms without a key before a search begins
const LEVELS = [[50, "CRITICAL"], [40, "ERROR"], [30, "WARN"], [20, "INFO"], [0, "DEBUG"]];

const number = new Intl.NumberFormat("en-US");
const lineOf = ([id, time, level, taskId, message]) => ({ id, time, level, taskId, message });
const rowsOf = (lines) =>
  lines.flatMap((line) => line.message.split("\n").map((part, index) => ({ line, part, isFirst: index === 0 })));

export class LogView {
  constructor(root, tasks) {
    this.tasks = tasks;
    this.lines = [];
    this.seen = new Set();
    this.rows = [];
    this.isCut = false; // whether there were too many lines to keep
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
    this.more = root.querySelector("#run-log-older");
    this.older = new OlderLines(root.dataset.lines, () => this.refilter());
    for (const filter of [this.text, this.level, this.task]) filter.addEventListener("input", () => this.refilter());
    this.live.addEventListener("click", () => this.follow(!this.following));
    this.more.addEventListener("click", () => this.loadOlder());
    this.box.addEventListener("scroll", () => this.onScroll());
    for (const kind of ["wheel", "touchmove", "keydown", "pointerdown"]) {
      this.box.addEventListener(kind, () => (this.byHand = true), { passive: true });
    }
    new ResizeObserver(() => this.draw()).observe(this.box);
  }

  /** Add lines as `changes` sends them; some may have come before. `earlier`: cursor of what is before them. */
  add(lines, earlier) {
    if (earlier && !this.lines.length) this.older.before = earlier;
    const fresh = this.unseen(lines);
    if (fresh.length) {
      this.lines.push(...fresh);
      this.lines.sort((a, b) => a.time - b.time || (a.id < b.id ? -1 : 1));
      if (this.lines.splice(0, this.lines.length - MOST_LINES).length) this.cut();
    }
    if (fresh.length || !this.count.textContent) this.refilter();
  }

  unseen(lines) {
    const fresh = lines.filter(([id]) => !this.seen.has(id)).map(lineOf);
    for (const { id } of fresh) this.seen.add(id);
    return fresh;
  }

  /** Too many to keep: what is gone from the page is not loaded again. */
  cut() {
    this.isCut = true;
    this.older.endSearch();
    this.older.before = "";
  }

  /** Put older lines before the ones shown, which stay where they are; or go on with the search. */
  async loadOlder() {
    if (this.filter()) return this.older.searchOn();
    if (this.lines.length >= MOST_LINES - 2_000) return this.cut();
    const fresh = this.unseen(await this.older.page());
    this.lines = [...fresh, ...this.lines];
    this.refilter();
  }

  /** Show the lines of this task alone; of all tasks if it is shown alone already. */
  showTask(name) {
    this.task.value = this.task.value === name ? "" : name;
    this.refilter();
  }

  /** What is searched for; null if all lines are shown. */
  filter() {
    const wanted = { text: this.text.value, level: this.level.value, task: this.task.value };
    return wanted.text || wanted.task || wanted.level !== "0" ? wanted : null;
  }

  refilter() {
    this.older.search(this.filter());
    const found = this.older.found.map(lineOf);
    const shown = this.matching();
    const rows = [...rowsOf(found), ...rowsOf(shown)];
    const before = this.rows[0]?.line.id;
    const added = before === undefined ? 0 : rows.findIndex(({ line }) => line.id === before);
    const top = this.box.scrollTop;
    this.rows = rows;
    this.count.textContent = this.summary(shown.length + found.length);
    this.more.hidden = !(this.filter() ? this.older.searchedTo && !this.older.isSearching : this.older.before);
    this.draw();
    if (added > 0 && !(this.following && !this.byHand)) this.box.scrollTop = top + added * ROW;
  }

  matching() {
    const text = this.text.value.toLowerCase();
    const task = this.task.value.toLowerCase();
    const level = Number(this.level.value);
    if (!this.filter()) return this.lines;
    return this.lines.filter(
      (line) =>
        line.level >= level &&
        (!text || line.message.toLowerCase().includes(text)) &&
        (!task || this.tasks.nameOf(line.taskId).toLowerCase().includes(task)),
    );
  }

  summary(shown) {
    if (this.older.trouble) return this.older.trouble;
    const all = number.format(this.lines.length);
    const unit = this.lines.length === 1 ? "line" : "lines";
    if (!this.filter()) return this.older.before || this.isCut ? `newest ${all} ${unit}` : `${all} ${unit}`;
    if (this.older.isSearching) return `${number.format(shown)} found, searching…`;
    if (this.older.searchedTo) return `newest ${number.format(shown)} found`;
    if (this.older.filter) return `${number.format(shown)} found in the whole log`;
    return `${number.format(shown)} of ${this.isCut ? "newest " : ""}${all} ${unit}`;
  }

  follow(on) {
    this.following = on;
    this.byHand = false;
    this.live.ariaPressed = String(on);
    this.draw();
  }

  /** Scrolling up by hand stops following; the end takes it up again, and the top loads older lines. */
  onScroll() {
    const atEnd = this.box.scrollTop + this.box.clientHeight >= this.space.offsetHeight - ROW;
    if (this.byHand && this.box.scrollTop < ROW && !atEnd) this.loadOlder();
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

/** Log lines that are older than those in the page: page by page, or searched for on the server. */
class OlderLines {
  /**
   * @param {string} url where the server answers
   * @param {() => void} onChange called when something came, or ended
   */
  constructor(url, onChange) {
    this.url = url;
    this.onChange = onChange;
    this.before = ""; // cursor of the oldest line in the page; "" if there are none before it
    this.trouble = "";
    this.endSearch();
  }

  get isSearching() {
    return Boolean(this.abort);
  }

  /** Lines that the page may put before its own; empty if there are no more. */
  async page() {
    if (!this.before || this.loading) return [];
    this.loading = true;
    try {
      const answer = await this.ask({ before: this.before });
      this.before = answer.before;
      return answer.logs;
    } catch (error) {
      this.trouble = error.message;
      return [];
    } finally {
      this.loading = false;
      this.onChange();
    }
  }

  endSearch() {
    this.abort?.abort();
    clearTimeout(this.timer);
    this.abort = null;
    this.found = []; // rows as the server sends them, oldest first
    this.searchedTo = "";
    this.filter = null;
    this.trouble = "";
  }

  /** Find what fits `filter` ({text, level, task}) among the older lines; null ends the search. */
  search(filter) {
    if (JSON.stringify(filter) === JSON.stringify(this.filter)) return;
    this.endSearch();
    if (!filter || !this.before) return;
    this.filter = filter;
    this.searchedTo = this.before;
    this.timer = setTimeout(() => this.searchOn(), TYPING);
  }

  /** Go on with the search until there are many more hits, or no more lines. */
  async searchOn() {
    if (!this.filter || !this.searchedTo || this.abort) return;
    const abort = (this.abort = new AbortController());
    const goal = this.found.length + ENOUGH;
    try {
      while (this.searchedTo && this.found.length < goal) {
        this.onChange();
        const answer = await this.ask({ ...this.filter, before: this.searchedTo }, abort.signal);
        if (abort.signal.aborted) return;
        this.found = [...answer.logs, ...this.found];
        this.searchedTo = answer.before;
      }
    } catch (error) {
      if (abort.signal.aborted) return;
      this.trouble = error.message;
      this.searchedTo = "";
    }
    this.abort = null;
    this.onChange();
  }

  async ask(query, signal) {
    const answer = await fetch(`${this.url}?${new URLSearchParams(query)}`, { signal });
    const isJSON = answer.headers.get("content-type")?.includes("json");
    if (!answer.ok || !isJSON) throw new Error((isJSON && (await answer.json()).error) || "The server did not answer.");
    return answer.json();
  }
}
