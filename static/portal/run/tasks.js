// The task runs of the page's run, and how they group.

const FIELDS = ["id", "name", "key", "type", "state", "start", "end", "tries", "message"];
export const OVER = new Set(["COMPLETED", "FAILED", "CRASHED", "CANCELLED"]);
const WRONG = new Set(["FAILED", "CRASHED"]);

/** What a state counts as on the page. */
export function kindOf(type) {
  if (type === "COMPLETED") return "completed";
  if (WRONG.has(type)) return "failed";
  if (type === "CANCELLED" || type === "CANCELLING") return "cancelled";
  return type === "RUNNING" ? "running" : "waiting";
}

export class TaskModel {
  constructor() {
    this.byId = new Map();
  }

  /** Take over rows as `changes` sends them: arrays in the order of FIELDS. */
  merge(rows) {
    for (const row of rows) {
      const task = Object.fromEntries(FIELDS.map((field, index) => [field, row[index]]));
      task.kind = kindOf(task.type);
      this.byId.set(task.id, task);
    }
  }

  get size() {
    return this.byId.size;
  }

  nameOf(id) {
    return this.byId.get(id)?.name ?? "";
  }

  /** Every task, in the order in which they began; those that have not begun come last. */
  inOrder() {
    return [...this.byId.values()].sort((a, b) => (a.start ?? Infinity) - (b.start ?? Infinity) || (a.id < b.id ? -1 : 1));
  }

  /** How many tasks there are of each kind. */
  counts(tasks = this.byId.values()) {
    const counts = { completed: 0, failed: 0, cancelled: 0, running: 0, waiting: 0 };
    for (const task of tasks) counts[task.kind] += 1;
    return counts;
  }

  /** Tasks of one function together, in the order in which the first of each began. */
  groups() {
    const groups = new Map();
    for (const task of this.inOrder()) {
      if (!groups.has(task.key)) groups.set(task.key, { name: functionName(task.key), tasks: [] });
      groups.get(task.key).tasks.push(task);
    }
    return [...groups.values()];
  }
}

/** `portal.demo.weather.extract` and `extract-1a2b3c4d` are both the function `extract`. */
function functionName(key) {
  return key.split(".").at(-1).replace(/-[0-9a-f]{8}$/, "");
}
