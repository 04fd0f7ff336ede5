// How the run page writes times.

/** A length of time in ms as `840ms`, `4.6s`, `3m 12s`, `2h 5m`. */
export function duration(milliseconds) {
  const seconds = Math.max(0, milliseconds) / 1000;
  if (seconds < 1) return `${Math.round(seconds * 1000)}ms`;
  if (seconds < 60) return `${seconds.toFixed(1)}s`;
  const whole = Math.floor(seconds);
  if (whole < 3600) return `${Math.floor(whole / 60)}m ${whole % 60}s`;
  return `${Math.floor(whole / 3600)}h ${Math.floor((whole % 3600) / 60)}m`;
}

/** A moment as `08:36:29.700`, in UTC like every time in Portal. */
export function clock(moment) {
  const date = new Date(moment);
  const two = (number) => String(number).padStart(2, "0");
  const time = [date.getUTCHours(), date.getUTCMinutes(), date.getUTCSeconds()].map(two).join(":");
  return `${time}.${String(date.getUTCMilliseconds()).padStart(3, "0")}`;
}
