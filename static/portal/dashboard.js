// The dashboard: its figures and tables are read again when runs change, at most once in two seconds.
import { connect } from "./live.js";

const PAUSE = 2000;
let timer = null;

async function reread() {
  timer = null;
  if (document.hidden) return;
  const answer = await fetch(location.href).catch(() => null);
  if (!answer?.ok || answer.redirected) return;
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  const fresh = page.getElementById("dashboard");
  const shown = document.getElementById("dashboard");
  if (fresh && shown.innerHTML !== fresh.innerHTML && !shown.contains(document.activeElement)) {
    shown.replaceChildren(...fresh.childNodes);
  }
}

function soon() {
  timer ??= setTimeout(reread, PAUSE);
}

connect("/ws/runs", soon);
document.addEventListener("visibilitychange", () => document.hidden || soon());
