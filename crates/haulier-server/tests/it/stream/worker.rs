//! A worker that speaks the protocol itself.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use haulier_core::{Include, Kind, LeaseKey, NewTask, Payload, Policy, Store, TaskId, TaskView};
use haulier_wire::pb::queue_client::QueueClient;
use haulier_wire::pb::server_frame::Frame as Down;
use haulier_wire::pb::settled::Answer;
use haulier_wire::pb::settlement::Outcome;
use haulier_wire::pb::worker_frame::Frame as Up;
use haulier_wire::{lease, pb, task};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint};
use tonic::{Status, Streaming};

use crate::site::{Site, within};

/// A worker on a stream of its own connection.
pub struct Worker {
    up: mpsc::Sender<pb::WorkerFrame>,
    down: Streaming<pb::ServerFrame>,
    pub seq: u64,
}

/// A connection of its own.
pub async fn channel(address: SocketAddr) -> Channel {
    let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
    within(endpoint.connect()).await.unwrap()
}

impl Worker {
    /// A stream on which nothing was said.
    pub async fn silent(address: SocketAddr) -> Self {
        let (up, frames) = mpsc::channel(16);
        let mut client = QueueClient::new(channel(address).await)
            .max_decoding_message_size(haulier_core::limits::MESSAGE_BYTES_MAX);
        let down = within(client.work(ReceiverStream::new(frames))).await.unwrap().into_inner();
        Self { up, down, seq: 0 }
    }

    /// A stream whose Hello was answered.
    pub async fn hello(address: SocketAddr, name: &str, held: &[LeaseKey]) -> (Self, pb::Welcome) {
        let mut worker = Self::silent(address).await;
        worker.say(hello(name, held)).await;
        match worker.hear().await {
            Down::Welcome(welcome) => (worker, welcome),
            other => panic!("no welcome: {other:?}"),
        }
    }

    pub async fn say(&mut self, frame: Up) {
        self.seq += 1;
        self.say_as(self.seq, frame).await;
    }

    pub async fn say_as(&mut self, seq: u64, frame: Up) {
        let frame = pb::WorkerFrame { seq, frame: Some(frame) };
        within(self.up.send(frame)).await.unwrap();
    }

    /// The next frame, with what the server had seen.
    pub async fn hear_all(&mut self) -> Result<Option<pb::ServerFrame>, Status> {
        within(self.down.message()).await
    }

    pub async fn hear(&mut self) -> Down {
        self.hear_all().await.unwrap().unwrap().frame.unwrap()
    }

    /// The status with which the server ends the stream.
    pub async fn end(&mut self) -> Status {
        loop {
            match self.hear_all().await {
                Ok(Some(_)) => {}
                Ok(None) => return Status::ok(""),
                Err(status) => return status,
            }
        }
    }

    pub async fn credit(&mut self, number: u64, max: u32) {
        self.say(credit(number, "default", max)).await;
    }

    /// What a credit brought.
    pub async fn deliver(&mut self) -> pb::Deliver {
        match self.hear().await {
            Down::Deliver(deliver) => deliver,
            other => panic!("no delivery: {other:?}"),
        }
    }

    /// One task, with a credit of its own.
    pub async fn take_one(&mut self, number: u64) -> LeaseKey {
        self.credit(number, 1).await;
        let deliver = self.deliver().await;
        assert_eq!((deliver.credit, deliver.leases.len()), (number, 1));
        key(&deliver.leases[0])
    }

    pub async fn settle(&mut self, batch: u64, ends: Vec<pb::Settlement>) -> pb::SettledFrame {
        self.say(Up::Settle(pb::SettleFrame { batch, settlements: ends })).await;
        match self.hear().await {
            Down::Settled(settled) => settled,
            other => panic!("no answer to a settlement: {other:?}"),
        }
    }

    pub async fn beat(&mut self, batch: u64, keys: &[LeaseKey]) -> pb::BeatenFrame {
        self.say(beat(batch, keys)).await;
        match self.hear().await {
            Down::Beaten(beaten) => beaten,
            other => panic!("no answer to a beat: {other:?}"),
        }
    }
}

pub fn hello(name: &str, held: &[LeaseKey]) -> Up {
    Up::Hello(pb::Hello {
        worker: name.to_owned(),
        held: held.iter().copied().map(lease::encode_key).collect(),
        ..pb::Hello::default()
    })
}

pub fn credit(number: u64, queue: &str, max: u32) -> Up {
    let queues = vec![pb::WantedQueue { queue: queue.to_owned(), max }];
    let want = pb::Want { queues, max, ..pb::Want::default() };
    Up::Credit(pb::Credit { number, want: Some(want) })
}

pub fn beat(batch: u64, keys: &[LeaseKey]) -> Up {
    let lease = |key: &LeaseKey| pb::LeaseBeat {
        task: task::encode_id(key.task),
        epoch: key.epoch.0,
        ..pb::LeaseBeat::default()
    };
    let leases = keys.iter().map(lease).collect();
    let beat = pb::Beat { ttl_ms: 30_000, leases, ..pb::Beat::default() };
    Up::Beat(pb::BeatFrame { batch, beat: Some(beat) })
}

pub fn key(lease: &pb::Lease) -> LeaseKey {
    let id = lease.task.as_ref().unwrap().id.as_ref().try_into().unwrap();
    LeaseKey { task: TaskId::from_bytes(id), epoch: haulier_core::Epoch(lease.epoch) }
}

pub fn end(key: LeaseKey, outcome: Outcome) -> pb::Settlement {
    pb::Settlement { task: task::encode_id(key.task), epoch: key.epoch.0, outcome: Some(outcome) }
}

pub fn complete(key: LeaseKey) -> pb::Settlement {
    end(key, Outcome::Complete(pb::Complete { result: None }))
}

pub fn applied(settled: &pb::SettledFrame) -> Vec<bool> {
    assert_eq!(settled.problem, None);
    let applied = |settled: &pb::Settled| settled.answer == i32::from(Answer::Applied);
    settled.answers.iter().map(applied).collect()
}

impl Site {
    /// Stores so many tasks in the queue `default`.
    pub async fn put(&self, count: u64) -> Vec<TaskId> {
        self.put_with(count, |_| ()).await
    }

    pub async fn put_with(&self, count: u64, change: impl Fn(&mut NewTask)) -> Vec<TaskId> {
        let mut tasks = Vec::new();
        let before = self.store.queues().await.unwrap().iter().map(|all| all.accepted).sum::<u64>();
        for number in before..before + count {
            let mut bytes = [1; 16];
            bytes[8..].copy_from_slice(&number.to_be_bytes());
            let id = TaskId::from_bytes(bytes);
            let mut new = NewTask::new(id, Kind::new("k").unwrap(), Payload::json("{}"));
            new.task.policy = Policy { max_attempts: 2, ..Policy::default() };
            change(&mut new);
            tasks.push(new);
        }
        let ids = tasks.iter().map(|task| task.id).collect();
        for tasks in tasks.chunks(1_000) {
            self.store.enqueue(tasks.to_vec()).await.unwrap();
        }
        ids
    }

    pub async fn view(&self, id: TaskId) -> TaskView {
        view(&self.store, id).await
    }

    /// Lets time pass.
    pub async fn elapse(&self, by: Duration) {
        self.clock.advance(by);
        haulier::janitor::sweep_all(&*self.store).await.unwrap();
    }

    /// Looks until a task's lease lasts no longer than this.
    pub async fn until_lease_is_at_most(&self, id: TaskId, span: Duration) {
        self.until("the lease is shortened", async || {
            self.view(id).await.lease.is_some_and(|lease| lease.expires_in <= span)
        })
        .await;
    }

    pub async fn until(&self, what: &str, mut holds: impl AsyncFnMut() -> bool) {
        let look = async {
            while !holds().await {
                tokio::task::yield_now().await;
            }
        };
        let patience = Duration::from_secs(30);
        assert!(tokio::time::timeout(patience, look).await.is_ok(), "not within 30 s: {what}");
    }
}

pub async fn view(store: &Arc<dyn Store>, id: TaskId) -> TaskView {
    let views = store.get(vec![id], Include::default(), Duration::ZERO).await.unwrap();
    views.into_iter().next().flatten().unwrap()
}
