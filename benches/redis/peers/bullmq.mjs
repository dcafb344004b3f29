// BullMQ beside us: `node bullmq.mjs URL default|best WORKLOAD TASKS`.
//
// `best`: addBulk of 1,000, several workers with many jobs at a time each, finished jobs removed at
// once. (ioredis's automatic pipelines make it slower.) `default`: one job a call, ten at a time,
// and what is finished is kept, as it is when nothing else is said.
import { Queue, Worker } from "bullmq";
import { Redis } from "ioredis";
import * as b from "./books.mjs";

const [url, mode, workload, tasks] = process.argv.slice(2);
const count = Number(tasks);
const best = mode === "best";
const env = (name, other) => Number(process.env[name] ?? other);
const QUEUE = "bench";
const PRODUCE = best ? { size: 1_000, lanes: env("LANES", 2) } : { size: 1, lanes: 10 };
const CONSUME = best
  ? { workers: env("WORKERS", 2), concurrency: env("CONCURRENCY", 100) }
  : { workers: 1, concurrency: 10 };

function connection() {
  return new Redis(url, { maxRetriesPerRequest: null });
}

async function produce(queue, from, to) {
  await b.spread(b.pieces(from, to, PRODUCE.size), PRODUCE.lanes, (piece) => {
    const [number] = piece;
    if (!best) return queue.add("bench", b.payload(number));
    return queue.addBulk(piece.map((one) => ({ name: "bench", data: b.payload(one) })));
  });
}

async function consume(books, started = () => {}) {
  const work = async ({ data: { number } }) => {
    started(number);
    books.executed(number);
  };
  const { workers, concurrency } = CONSUME;
  const remove = best ? { removeOnComplete: { count: 0 } } : {};
  const all = Array.from({ length: workers }, () => {
    const worker = new Worker(QUEUE, work, { connection: connection(), concurrency, ...remove });
    return worker.on("error", (error) => { throw error; });
  });
  await Promise.all(all.map((worker) => worker.waitUntilReady()));
  return all;
}

async function empty(queue) {
  const counts = await queue.getJobCounts("wait", "active", "delayed", "prioritized", "failed");
  return Object.values(counts).every((jobs) => jobs === 0);
}

async function main() {
  const redis = connection();
  const queue = new Queue(QUEUE, { connection: redis });
  await queue.waitUntilReady();
  if (workload === "produce") {
    await b.started();
    await produce(queue, 0, count);
    await queue.close();
    return redis.disconnect();
  }
  const books = new b.Books(count);
  let figures, workers;
  if (workload === "fill") {
    await produce(queue, 0, count);
    console.log(JSON.stringify({ tasks: count, duplicates: 0, figures: {} }));
    await queue.close();
    return redis.disconnect();
  }
  if (workload === "enqueue" || workload === "drain") {
    let began = performance.now();
    await produce(queue, 0, count);
    figures = b.rate(count, began);
    began = performance.now();
    workers = await consume(books);
    await books.balance();
    await b.until(() => empty(queue));
    if (workload === "drain") figures = b.rate(count, began);
  } else if (workload === "lifecycle") {
    const child = await b.producer(process.argv[1], [url, mode, "produce", tasks]);
    workers = await consume(books);
    const began = performance.now();
    await Promise.all([child.go(), books.balance()]);
    await b.until(() => empty(queue));
    figures = b.rate(count, began);
  } else if (workload === "latency") {
    const due = [], late = [];
    workers = await consume(books, (number) => (late[number] = performance.now() - due[number]));
    await b.open_loop(count, 100, (number, at) => {
      due[number] = at;
      return queue.add("bench", b.payload(number));
    });
    await books.balance();
    await b.until(() => empty(queue));
    figures = b.quantiles(late);
  } else throw new Error(`no workload ${workload}`);
  await Promise.all(workers.map((worker) => worker.close()));
  b.publish(books, figures);
  await queue.close();
  redis.disconnect();
  // Connections that were handed in are not closed by whoever got them.
  process.exit(0);
}

await main();
