// Shows what the schedule in the form would do, while it is being written.

const DELAY = 300; // ms without typing

const card = document.getElementById("preview");
const form = card.parentElement.querySelector("form");
let timer = 0;
let asked = 0;

async function show() {
  const mine = ++asked;
  const body = new FormData(form);
  if (card.dataset.deployment) body.set("deployment", card.dataset.deployment);
  if (!body.get("deployment")) return;
  const answer = await fetch(card.dataset.url, { method: "POST", body });
  const html = await answer.text();
  if (mine === asked && answer.ok) document.getElementById("preview-rows").innerHTML = html;
}

function later() {
  clearTimeout(timer);
  timer = setTimeout(() => show().catch(() => {}), DELAY); // the next key asks again
}

if (form) {
  form.addEventListener("input", later);
  if (!card.dataset.deployment) later();
}
