// Pages whose `data-reread` part is read again when runs change, at most once in two seconds; and as long as it
// holds something with `data-again`, which changes without a run.
import { connect } from "./live.js";

const PAUSE = 2000;
let timer = null;

async function reread() {
  timer = null;
  if (document.hidden) return;
  const answer = await fetch(location.href).catch(() => null);
  if (!answer?.ok || answer.redirected) return;
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  const fresh = page.querySelector("[data-reread]");
  const shown = document.querySelector("[data-reread]");
  if (fresh && shown.innerHTML !== fresh.innerHTML && !shown.contains(document.activeElement)) {
    shown.replaceChildren(...fresh.childNodes);
  }
  again();
}

function again() {
  if (document.querySelector("[data-reread] [data-again]")) soon();
}

function soon() {
  timer ??= setTimeout(reread, PAUSE);
}

connect("/ws/runs", soon);
again();
document.addEventListener("visibilitychange", () => document.hidden || soon());
