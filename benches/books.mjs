// What the peers' scripts share: payloads, the books that have to balance, quantiles, and a child
// process that produces, so that a peer's producer and worker each have a processor of their own.
import { fork } from "node:child_process";
import { once } from "node:events";

const PAYLOAD_BYTES = 200;

/** A payload of 200 bytes with a number in it. */
export function payload(number) {
  const bare = JSON.stringify({ number, pad: "" }).length;
  return { number, pad: "x".repeat(PAYLOAD_BYTES - bare) };
}

/** Numbers from `from` to below `to`, in pieces of at most `size`. */
export function* pieces(from, to, size) {
  for (let at = from; at < to; at += size) {
    const length = Math.min(size, to - at);
    yield Array.from({ length }, (_, place) => at + place);
  }
}

/** Runs `work` on every piece, so many at a time. */
export async function spread(all, lanes, work) {
  const lane = async () => {
    for (const piece of all) await work(piece);
  };
  await Promise.all(Array.from({ length: lanes }, lane));
}

/** Which of `count` jobs were executed, how often, and when that was all of them. */
export class Books {
  constructor(count) {
    this.count = count;
    this.seen = new Uint8Array(count);
    this.first = 0;
    this.duplicates = 0;
    this.all = new Promise((resolve) => (this.done = resolve));
  }

  executed(number) {
    if (!(number >= 0 && number < this.count)) throw new Error(`nobody enqueued ${number}`);
    if (this.seen[number]) return void this.duplicates++;
    this.seen[number] = 1;
    if (++this.first === this.count) this.done();
  }

  /** Waits until all were executed; a minute in which nothing happens is a failure. */
  async balance() {
    let before = -1;
    const stalled = new Promise((_, reject) => {
      this.watch = setInterval(() => {
        if (this.first === before) reject(new Error(`${this.count - before} jobs are missing`));
        before = this.first;
      }, 60_000);
    });
    await Promise.race([this.all, stalled]).finally(() => clearInterval(this.watch));
  }
}

/** Asks until `empty` says so: only then is the last completion stored. */
export async function until(empty) {
  while (!(await empty())) await new Promise(setImmediate);
}

/** This script again, as a producer: answers once it is connected; `go` starts it. */
export async function producer(script, words) {
  const child = fork(script, words, { stdio: ["ignore", "inherit", "inherit", "ipc"] });
  await once(child, "message");
  return {
    async go() {
      child.send("go");
      const [code] = await once(child, "exit");
      if (code !== 0) throw new Error(`the producer ended with ${code}`);
    },
  };
}

/** The producer's side: says that it is connected, and waits for its start. */
export async function started() {
  process.send("ready");
  await once(process, "message");
}

/** Hands one job over at each of `count` instants, `rate` a second; late ones at once. */
export async function open_loop(count, rate, enqueue) {
  const began = performance.now();
  const out = [];
  for (let number = 0; number < count; number++) {
    const due = began + (number * 1_000) / rate;
    const wait = due - performance.now();
    if (wait > 0) await new Promise((resolve) => setTimeout(resolve, wait));
    out.push(enqueue(number, due));
  }
  await Promise.all(out);
}

export function quantile(sorted, share) {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))];
}

/** The two quantiles of latencies, in milliseconds. */
export function quantiles(latencies) {
  const sorted = Float64Array.from(latencies).sort();
  return { p50_ms: quantile(sorted, 0.5), p99_ms: quantile(sorted, 0.99) };
}

/** How many a second, since `began`. */
export function rate(count, began) {
  return { tasks_per_second: (count * 1_000) / (performance.now() - began) };
}

/** Prints the one line that the caller reads. */
export function publish(books, figures) {
  console.log(JSON.stringify({ tasks: books.count, duplicates: books.duplicates, figures }));
}
