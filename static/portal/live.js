// A WebSocket that comes back by itself, and the dot in the top bar that says how it is.

const FIRST_DELAY = 250; // ms
const LAST_DELAY = 10_000;
const REFUSED = new Set([4401, 4403]); // asking again would not help

/**
 * Listen to a socket of this site.
 * @param {string} path such as "/ws/runs"
 * @param {(message: object) => void} onMessage gets each message; the first of every connection is
 *   {joined}, after which no change is missed: read the present state then
 * @param {(status: "live"|"reconnecting"|"closed") => void} [onStatus]
 * @returns {() => void} a function that closes it
 */
export function connect(path, onMessage, onStatus = () => {}) {
  let socket = null;
  let delay = FIRST_DELAY;
  let timer = 0;
  let wanted = true;

  function say(status) {
    document.documentElement.dataset.live = status;
    const dot = document.getElementById("live-dot");
    if (dot) {
      dot.dataset.status = status;
      dot.title = `Live updates: ${status}`;
    }
    onStatus(status);
  }

  function open() {
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    socket = new WebSocket(`${scheme}://${location.host}${path}`);
    socket.onmessage = ({ data }) => {
      const message = JSON.parse(data);
      if ("joined" in message) {
        delay = FIRST_DELAY;
        say("live");
      }
      onMessage(message);
    };
    socket.onclose = ({ code }) => {
      if (!wanted) return;
      if (REFUSED.has(code)) return say("closed");
      say("reconnecting");
      timer = setTimeout(open, delay * (0.5 + Math.random())); // jitter: not all pages at once
      delay = Math.min(delay * 2, LAST_DELAY);
    };
  }

  function close() {
    wanted = false;
    clearTimeout(timer);
    socket?.close();
  }

  say("reconnecting");
  open();
  addEventListener("pagehide", close, { once: true });
  addEventListener("pageshow", (event) => event.persisted && location.reload(), { once: true });
  return close;
}
