// The run page: reads what changed on every hint of the socket and hands it to its parts.

import { connect } from "../live.js";
import { LogView } from "./logs.js";
import { duration } from "./format.js";
import { TaskModel } from "./tasks.js";
import { Timeline } from "./timeline.js";

const BETWEEN_READS = 200; // ms: at most five reads a second
const POLL_WITHOUT_SOCKET = 2_000;
const READ_ANYWAY = 5_000; // what a run waits for changes without a change of the run

const root = document.getElementById("run");
const tasks = new TaskModel();
const logs = new LogView(root, tasks);
const timeline = new Timeline(root, tasks, (name) => logs.showTask(name));
const fragments = new Map();
const cursors = { since_version: "", after_log: "" };
let run = null;
let clockSkew = 0; // ms that the server's clock is ahead of ours
let live = false;
let reading = false;
let wanted = false;
let lastRead = 0;

/** Read what changed; calls while a read is under way become one more read after it. */
async function read() {
  wanted = true;
  if (reading) return;
  reading = true;
  try {
    while (wanted) {
      wanted = false;
      await pause(Math.max(0, lastRead + BETWEEN_READS - performance.now()));
      lastRead = performance.now();
      await readOnce();
    }
  } catch (error) {
    console.warn("The run could not be read; trying again.", error);
  } finally {
    reading = false;
  }
}

async function readOnce() {
  const query = new URLSearchParams(Object.entries(cursors).filter(([, value]) => value));
  const answer = await fetch(`${root.dataset.changes}?${query}`, { headers: { accept: "application/json" } });
  if (answer.redirected || answer.status === 404) return location.reload(); // logged out, or deleted
  if (!answer.ok) throw new Error(`HTTP ${answer.status}`);
  apply(await answer.json());
}

function apply(changes) {
  const ended = run && !run.is_over && changes.run.is_over;
  run = changes.run;
  clockSkew = run.now - Date.now();
  cursors.since_version = changes.since_version;
  cursors.after_log = changes.after_log;
  if (changes.more) {
    wanted = true;
  } else if (ended) {
    // What ended with the run may carry a version behind our cursor: read all tasks once more.
    cursors.since_version = "";
    wanted = true;
  }
  for (const [name, html] of Object.entries(changes.html)) replace(name, html);
  tasks.merge(changes.tasks);
  logs.add(changes.logs, changes.earlier);
  timeline.update(run, clockSkew);
  tick();
}

/** Put a part that the server rendered in place, unless it is there already (keeps focus and selection). */
function replace(name, html) {
  if (fragments.get(name) === html) return;
  fragments.set(name, html);
  const place = document.getElementById(`run-${name}`); // none for an answer that was refused and stays
  const fresh = document.createElement("template");
  fresh.innerHTML = html;
  if (place && place.innerHTML.trim() !== fresh.innerHTML.trim()) place.replaceChildren(fresh.content);
}

function tick() {
  const place = document.getElementById("run-duration");
  if (!run || !place) return;
  const until = run.end ?? Date.now() + clockSkew;
  place.textContent = run.start ? duration(until - run.start) : "";
  place.classList.toggle("is-live", Boolean(run.start && !run.end));
}

function pause(milliseconds) {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

function openPanel(name) {
  for (const tab of root.querySelectorAll(".run-tab")) tab.ariaPressed = String(tab.dataset.panel === name);
  for (const panel of root.querySelectorAll("[data-shows]")) panel.hidden = panel.dataset.shows !== name;
  for (const tool of root.querySelectorAll(".run-log-tools, #run-log-count")) tool.hidden = name !== "logs";
}

root.addEventListener("click", ({ target }) => {
  const panel = target.dataset.panel ?? target.dataset.opens;
  if (panel) openPanel(panel);
});

connect(
  root.dataset.socket,
  (hint) => {
    const known = run && hint.run_id === run.id && hint.version <= run.version;
    if (!known) read();
  },
  (status) => {
    live = status === "live";
  },
);
read();
setInterval(tick, 100);
setInterval(() => {
  const pace = live ? READ_ANYWAY : POLL_WITHOUT_SOCKET;
  if (!run?.is_over && !document.hidden && performance.now() - lastRead >= pace) read();
}, 500);
document.addEventListener("visibilitychange", () => document.hidden || read());
