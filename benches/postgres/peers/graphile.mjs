// graphile-worker beside us: `node graphile.mjs URL default|best WORKLOAD TASKS`.
//
// `best` is what https://worker.graphile.org/docs/performance recommends: add_jobs in batches, a
// local queue, completions in batches, many jobs at a time.
import { makeWorkerUtils, run, Logger } from "graphile-worker";
import * as b from "./books.mjs";

const [url, mode, workload, tasks] = process.argv.slice(2);
const count = Number(tasks);
const best = mode === "best";
const env = (name, other) => Number(process.env[name] ?? other);
// Producers one job a call, as many at a time as the pool has connections.
const PRODUCE = best ? { size: 1_000, lanes: 2 } : { size: 1, lanes: 10 };
const logger = new Logger(() => () => {});
const worker = best
  ? {
      concurrentJobs: env("JOBS", 500),
      maxPoolSize: env("POOL", 20),
      localQueue: { size: env("LOCAL", 5_000) },
      completeJobBatchDelay: env("DELAY", 0),
      failJobBatchDelay: env("DELAY", 0),
    }
  : { concurrentJobs: 10, maxPoolSize: 12 };

async function produce(utils, from, to) {
  await b.spread(b.pieces(from, to, PRODUCE.size), PRODUCE.lanes, (piece) => {
    const [number] = piece;
    if (!best) return utils.addJob("bench", b.payload(number));
    return utils.addJobs(piece.map((one) => ({ identifier: "bench", payload: b.payload(one) })));
  });
}

function consume(books, started = () => {}) {
  const bench = async ({ number }) => {
    started(number);
    books.executed(number);
  };
  const preset = { worker: { connectionString: url, logger, ...worker } };
  return run({ preset, noHandleSignals: true, taskList: { bench } });
}

async function empty(utils) {
  const query = "select not exists (select from graphile_worker._private_jobs) as empty";
  return utils.withPgClient(async (client) => (await client.query(query)).rows[0].empty);
}

async function main() {
  const utils = await makeWorkerUtils({ connectionString: url, logger, maxPoolSize: 10 });
  if (workload === "produce") {
    await b.started();
    await produce(utils, 0, count);
    return utils.release();
  }
  await utils.migrate();
  const books = new b.Books(count);
  let figures, runner;
  if (workload === "enqueue" || workload === "drain") {
    let began = performance.now();
    await produce(utils, 0, count);
    figures = b.rate(count, began);
    began = performance.now();
    runner = await consume(books);
    await books.balance();
    await b.until(() => empty(utils));
    if (workload === "drain") figures = b.rate(count, began);
  } else if (workload === "lifecycle") {
    const child = await b.producer(process.argv[1], [url, mode, "produce", tasks]);
    runner = await consume(books);
    const began = performance.now();
    await Promise.all([child.go(), books.balance()]);
    await b.until(() => empty(utils));
    figures = b.rate(count, began);
  } else if (workload === "latency") {
    const due = [], late = [];
    runner = await consume(books, (number) => (late[number] = performance.now() - due[number]));
    await b.open_loop(count, 100, (number, at) => {
      due[number] = at;
      return utils.addJob("bench", b.payload(number));
    });
    await books.balance();
    figures = b.quantiles(late);
  } else throw new Error(`no workload ${workload}`);
  await runner.stop();
  if (!(await empty(utils))) throw new Error("jobs are left");
  b.publish(books, figures);
  await utils.release();
}

await main();
