// The list of runs, patched in place: a badge at once, whole rows at most once in two seconds.
import { connect } from "./live.js";

const PAUSE = 2000;
const rows = () => document.querySelector("#result_list tbody");
const runOf = (row) => row.querySelector("[data-run]")?.dataset.run;
const PAUSE_WITHOUT_SOCKET = 5000;
let timer = null;
let poll = null;
let isReading = false;
let isStale = false;

function patchBadge(hint) {
  const holder = document.querySelector(`[data-run="${CSS.escape(hint.run_id)}"]`);
  if (!holder || Number(holder.dataset.version) >= hint.version) return;
  const badge = holder.querySelector(".badge");
  const type = hint.state_type.toLowerCase();
  const same = badge.classList.contains(`state-${type}`);
  badge.className = `badge state-${type}`;
  badge.lastChild.textContent = hint.state_name;
  if (!same) badge.firstElementChild.textContent = "\u200b"; // an empty one would make the row higher
  holder.dataset.version = hint.version;
}

// Rows that did not change stay the same elements, so that focus and selection survive.
function merge(fresh) {
  const table = rows();
  if (!table && !fresh) return; // still nothing to list
  if (!table || !fresh) return location.reload();
  const known = new Map([...table.rows].map((row) => [runOf(row), row]));
  const merged = [...fresh.rows].map((row) => {
    const old = known.get(runOf(row));
    return old && old.outerHTML === row.outerHTML ? old : document.adoptNode(row);
  });
  const same = merged.length === table.rows.length && merged.every((row, i) => row === table.rows[i]);
  if (!same) table.replaceChildren(...merged);
}

async function reread() {
  if (document.hidden || isReading) return void (isStale = true);
  isReading = true;
  isStale = false;
  try {
    const answer = await fetch(location.href, { headers: { "X-Requested-With": "fetch" } });
    if (answer.redirected) return location.reload();
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    merge(page.querySelector("#result_list tbody"));
  } catch {
    isStale = true; // the socket's return or the next hint reads again
  } finally {
    isReading = false;
  }
}

function soon() {
  timer ??= setTimeout(() => {
    timer = null;
    reread();
  }, PAUSE);
}

connect(
  "/ws/runs",
  (message) => {
    if (message.run_id) patchBadge(message);
    soon();
  },
  (status) => {
    clearInterval(poll);
    poll = status === "live" ? null : setInterval(reread, PAUSE_WITHOUT_SOCKET);
  },
);
document.addEventListener("visibilitychange", () => !document.hidden && isStale && soon());
